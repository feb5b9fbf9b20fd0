module github.com/expo-free-agent/freeagent/services/artifact

go 1.26.0

require (
	github.com/expo-free-agent/freeagent/proto-events v0.0.0
	github.com/expo-free-agent/freeagent/shared v0.0.0
)

require (
	github.com/caarlos0/env/v11 v11.4.2 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/johannesboyne/gofakes3 v1.2.0 // indirect
	github.com/mfridman/interpolate v0.0.2 // indirect
	github.com/pressly/goose/v3 v3.29.0 // indirect
	github.com/ryszard/goskiplist v0.0.0-20150312221310-2dfbae5fcf46 // indirect
	github.com/sethvargo/go-retry v0.5.0 // indirect
	go.shabbyrobe.org/gocovmerge v0.0.0-20230507111327-fa4f82cfbf4d // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/tools v0.8.0 // indirect
)

replace (
	github.com/expo-free-agent/freeagent/proto-events => ../../proto-events
	github.com/expo-free-agent/freeagent/shared => ../../shared
)
