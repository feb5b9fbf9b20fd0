module github.com/expo-free-agent/freeagent/clients/cli

go 1.26.0

require (
	github.com/expo-free-agent/freeagent/shared v0.0.0
	github.com/expo-free-agent/freeagent/proto-events v0.0.0
)

replace (
	github.com/expo-free-agent/freeagent/shared => ../../shared
	github.com/expo-free-agent/freeagent/proto-events => ../../proto-events
)
