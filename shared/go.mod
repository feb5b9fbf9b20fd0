module github.com/expo-free-agent/freeagent/shared

go 1.26.0

require (
	github.com/expo-free-agent/freeagent/proto-events v0.0.0
)

replace (
	github.com/expo-free-agent/freeagent/proto-events => ../proto-events
)
