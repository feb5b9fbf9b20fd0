package scheduler

import (
	"context"
	"errors"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// services are the other services, as the scheduler asks them.
type services struct {
	artifact artifactv1.ArtifactServiceClient
	monitor  monitorv1.MonitorServiceClient
	ingest   ingestv1.IngestServiceClient
}

func newServices(c rpc.Client) services {
	return services{
		artifact: artifactv1.NewArtifactServiceClient(c), monitor: monitorv1.NewMonitorServiceClient(c),
		ingest: ingestv1.NewIngestServiceClient(c),
	}
}

// serve answers every request that the scheduler knows.
func (s *Scheduler) serve(svc *rpc.Service) error {
	return errors.Join(
		schedulerv1.RegisterSchedulerServiceServer(svc, requests{s}),
		schedulerv1.RegisterSchedulerWorkerServiceServer(svc, workerRequests{s}),
	)
}

// requests implements schedulerv1.SchedulerServiceServer: the scheduler, with what is left of builds that have expired.
type requests struct{ *Scheduler }

// Get implements schedulerv1.SchedulerServiceServer.
func (r requests) Get(ctx context.Context, req *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	return r.getRetained(ctx, req)
}

// Summary implements schedulerv1.SchedulerServiceServer.
func (r requests) Summary(ctx context.Context, req *schedulerv1.SummaryRequest) (*schedulerv1.SummaryResponse, error) {
	return r.summaryWithNotice(ctx, req)
}

// GetWorker implements schedulerv1.SchedulerServiceServer.
func (r requests) GetWorker(ctx context.Context, req *schedulerv1.GetWorkerRequest) (*schedulerv1.GetWorkerResponse, error) {
	return r.getWorkerRetained(ctx, req)
}

// Stats implements schedulerv1.SchedulerServiceServer.
func (r requests) Stats(ctx context.Context, req *schedulerv1.StatsRequest) (*schedulerv1.StatsResponse, error) {
	return r.statsRetained(ctx, req)
}

// workerRequests implements schedulerv1.SchedulerWorkerServiceServer: an attempt ends after bounded internal errors of its requests.
type workerRequests struct{ s *Scheduler }

// Sync implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Sync(ctx context.Context, workerID string, req *schedulerv1.SyncRequest) (*schedulerv1.SyncResponse, error) {
	return r.s.Sync(ctx, workerID, req)
}

// Claim implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Claim(ctx context.Context, workerID string, req *schedulerv1.ClaimRequest) (*schedulerv1.ClaimResponse, error) {
	return bounded(r.s, "claim", r.s.Claim)(ctx, workerID, req)
}

// Stage implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Stage(ctx context.Context, workerID string, req *schedulerv1.StageRequest) (*schedulerv1.StageResponse, error) {
	return bounded(r.s, "stage", r.s.Stage)(ctx, workerID, req)
}

// Finish implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Finish(ctx context.Context, workerID string, req *schedulerv1.FinishRequest) (*schedulerv1.FinishResponse, error) {
	return bounded(r.s, "outcome", r.s.Finish)(ctx, workerID, req)
}
