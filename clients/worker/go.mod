module github.com/expo-free-agent/freeagent/clients/worker

go 1.26.0

require (
	github.com/expo-free-agent/freeagent/shared v0.0.0
	github.com/google/go-cmp v0.7.0
	golang.org/x/sys v0.49.0
)

replace (
	github.com/expo-free-agent/freeagent/proto-events => ../../proto-events
	github.com/expo-free-agent/freeagent/shared => ../../shared
)
