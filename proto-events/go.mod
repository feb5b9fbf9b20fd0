module github.com/expo-free-agent/freeagent/proto-events

go 1.26.0
