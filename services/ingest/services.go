package ingest

import (
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// askTimeout bounds each request to another service: long enough to sit out its restart.
const askTimeout = 10 * time.Second

// services are the other services, as the gateway asks them.
type services struct {
	scheduler schedulerv1.SchedulerServiceClient
	artifact  artifactv1.ArtifactServiceClient
	monitor   monitorv1.MonitorServiceClient
}

func newServices(c rpc.Client) services {
	return services{
		scheduler: schedulerv1.NewSchedulerServiceClient(c), artifact: artifactv1.NewArtifactServiceClient(c),
		monitor: monitorv1.NewMonitorServiceClient(c),
	}
}
