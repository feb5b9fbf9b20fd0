module github.com/expo-free-agent/freeagent/services/standalone

go 1.26.0

require (
	github.com/expo-free-agent/freeagent/proto-events v0.0.0
	github.com/expo-free-agent/freeagent/shared v0.0.0
	github.com/expo-free-agent/freeagent/services/ingest v0.0.0
	github.com/expo-free-agent/freeagent/services/scheduler v0.0.0
	github.com/expo-free-agent/freeagent/services/monitor v0.0.0
	github.com/expo-free-agent/freeagent/services/artifact v0.0.0
	github.com/expo-free-agent/freeagent/clients/worker v0.0.0
	github.com/expo-free-agent/freeagent/clients/cli v0.0.0
)

replace (
	github.com/expo-free-agent/freeagent/proto-events => ../../proto-events
	github.com/expo-free-agent/freeagent/shared => ../../shared
	github.com/expo-free-agent/freeagent/services/ingest => ../ingest
	github.com/expo-free-agent/freeagent/services/scheduler => ../scheduler
	github.com/expo-free-agent/freeagent/services/monitor => ../monitor
	github.com/expo-free-agent/freeagent/services/artifact => ../artifact
	github.com/expo-free-agent/freeagent/clients/worker => ../../clients/worker
	github.com/expo-free-agent/freeagent/clients/cli => ../../clients/cli
)
