package monitor

import (
	"context"
	"fmt"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// maxExpire bounds the builds or workers of one request.
const maxExpire = 200

// ExpireBuilds deletes the telemetry of builds that the scheduler has let go. The figures of days stay.
func (m *Monitor) ExpireBuilds(ctx context.Context, req *monitorv1.ExpireBuildsRequest) (*monitorv1.ExpireBuildsResponse, error) {
	if len(req.GetBuildIds()) > maxExpire {
		return nil, fmt.Errorf("%w: %d builds in one request, at most %d are allowed", build.ErrInvalid, len(req.GetBuildIds()), maxExpire)
	}
	return &monitorv1.ExpireBuildsResponse{}, m.store.ExpireBuilds(ctx, req.GetBuildIds())
}

// ForgetWorkers deletes the reports of workers that are long gone.
func (m *Monitor) ForgetWorkers(ctx context.Context, req *monitorv1.ForgetWorkersRequest) (*monitorv1.ForgetWorkersResponse, error) {
	if len(req.GetWorkerIds()) > maxExpire {
		return nil, fmt.Errorf("%w: %d workers in one request, at most %d are allowed", build.ErrInvalid, len(req.GetWorkerIds()), maxExpire)
	}
	return &monitorv1.ForgetWorkersResponse{}, m.store.ForgetWorkers(ctx, req.GetWorkerIds())
}
