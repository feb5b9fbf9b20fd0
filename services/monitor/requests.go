package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/version"
)

const (
	// maxChecks bounds the checks of one report, in bytes.
	maxChecks = 256 << 10
	// defaultReports and mostReports are how many a list gives.
	defaultReports = 10
	mostReports    = 100
	// sweepEvery is how often what is old is condensed or deleted.
	sweepEvery = time.Hour
)

// requestsLoop answers on fa.monitor.*.
func (m *Monitor) requestsLoop(ctx context.Context) error {
	return rpc.Run(ctx, m.nc, "monitor", version.Version, m.log, func(svc *rpc.Service) error {
		return monitorv1.RegisterMonitorServiceServer(svc, m)
	})
}

// AddReport stores what a worker found out about itself. It is build.ErrInvalid unless its status is healthy, warning or
// critical and its checks are a JSON array of at most 256 KiB.
func (m *Monitor) AddReport(ctx context.Context, req *monitorv1.AddReportRequest) (*monitorv1.AddReportResponse, error) {
	r := req.GetReport()
	if err := validReport(r); err != nil {
		return nil, err
	}
	r.Id, r.RunAtMs = build.NewID(), m.now().UnixMilli()
	if err := m.store.AddReport(ctx, r); err != nil {
		return nil, err
	}
	return &monitorv1.AddReportResponse{Id: r.GetId()}, nil
}

func validReport(r *monitorv1.Report) error {
	var checks []json.RawMessage
	switch {
	case !build.ValidID(r.GetWorkerId()):
		return fmt.Errorf("%w: worker id %.80q", build.ErrInvalid, r.GetWorkerId())
	case !slices.Contains([]string{"healthy", "warning", "critical"}, r.GetStatus()):
		return fmt.Errorf("%w: status %.40q, want healthy, warning or critical", build.ErrInvalid, r.GetStatus())
	case len(r.GetChecksJson()) > maxChecks:
		return fmt.Errorf("%w: checks of %d bytes, at most %d", build.ErrTooLarge, len(r.GetChecksJson()), maxChecks)
	case json.Unmarshal(r.GetChecksJson(), &checks) != nil:
		return fmt.Errorf("%w: checks are not a JSON array", build.ErrInvalid)
	}
	return nil
}

// ListReports returns a worker's, newest first.
func (m *Monitor) ListReports(ctx context.Context, req *monitorv1.ListReportsRequest) (*monitorv1.ListReportsResponse, error) {
	limit := req.GetLimit()
	if limit <= 0 {
		limit = defaultReports
	}
	reports, err := m.store.Reports(ctx, req.GetWorkerId(), min(limit, mostReports))
	if err != nil {
		return nil, err
	}
	return &monitorv1.ListReportsResponse{Reports: reports}, nil
}

// Usage returns what the samples of all builds say together.
func (m *Monitor) Usage(ctx context.Context, _ *monitorv1.UsageRequest) (*monitorv1.UsageResponse, error) {
	mean, n, dropped, err := m.store.Usage(ctx)
	if err != nil {
		return nil, err
	}
	return &monitorv1.UsageResponse{MeanCpuPercent: mean, Samples: n, Dropped: dropped}, nil
}

// sweepLoop condenses and deletes what is old.
func (m *Monitor) sweepLoop(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := m.sweep(ctx); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "old samples and reports not deleted, the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *Monitor) sweep(ctx context.Context) error {
	now := m.now()
	return errors.Join(m.store.Condense(ctx, now.Add(-m.cfg.KeepSamples)),
		m.store.Sweep(ctx, now.Add(-m.cfg.KeepMinutes), now.Add(-m.cfg.KeepReports)),
		m.store.ForgetCounted(ctx, now.Add(-keepCounted)), m.store.ForgetEnded(ctx, now.Add(-keepEnded)))
}
