package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// expiry deletes what is stored of expired builds and workers.
type expiry struct{ store *store.Store }

// maxExpire bounds the builds or workers of one request.
const maxExpire = 200

// ExpireBuilds deletes the telemetry of expired builds. Statistics by day stay.
func (e expiry) ExpireBuilds(ctx context.Context, req *monitorv1.ExpireBuildsRequest) (*monitorv1.ExpireBuildsResponse, error) {
	if len(req.GetBuildIds()) > maxExpire {
		return nil, fmt.Errorf("%w: %d builds in one request, at most %d are allowed", build.ErrInvalid, len(req.GetBuildIds()), maxExpire)
	}
	return &monitorv1.ExpireBuildsResponse{}, e.store.ExpireBuilds(ctx, req.GetBuildIds())
}

// ForgetWorkers deletes the reports of workers that are gone for long.
func (e expiry) ForgetWorkers(ctx context.Context, req *monitorv1.ForgetWorkersRequest) (*monitorv1.ForgetWorkersResponse, error) {
	if len(req.GetWorkerIds()) > maxExpire {
		return nil, fmt.Errorf("%w: %d workers in one request, at most %d are allowed", build.ErrInvalid, len(req.GetWorkerIds()), maxExpire)
	}
	return &monitorv1.ForgetWorkersResponse{}, e.store.ForgetWorkers(ctx, req.GetWorkerIds())
}

const (
	// sweepEvery is how often old rows are condensed or deleted.
	sweepEvery = time.Hour
	// keepCounted is longer than the stream keeps events.
	keepCounted = 35 * day
	// keepEnded is far longer than an event can be delivered after a later one.
	keepEnded = time.Hour
)

// sweepLoop condenses and deletes old rows.
func (m *Monitor) sweepLoop(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := m.sweep(ctx); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "sweep failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *Monitor) sweep(ctx context.Context) error {
	now := time.Now()
	return errors.Join(
		m.store.Samples.Condense(ctx, now.Add(-m.cfg.KeepSamples)), m.store.Samples.Sweep(ctx, now.Add(-m.cfg.KeepMinutes)),
		m.store.Reports.Sweep(ctx, now.Add(-m.cfg.KeepReports)), m.store.Stats.ForgetCounted(ctx, now.Add(-keepCounted)),
		m.store.Leases.ForgetEnded(ctx, now.Add(-keepEnded)),
	)
}
