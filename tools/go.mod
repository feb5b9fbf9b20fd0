module github.com/expo-free-agent/freeagent/tools

go 1.26.0
