package monitor

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// maxSnapshots and maxReports bound what one request takes over.
	maxSnapshots = 5000
	maxReports   = 500
	// exportReports is how many a page reads, exportBytes where it ends early: below a message's limit (1 MiB).
	exportReports = 100
	exportBytes   = 512 << 10
)

// ImportSnapshots takes over CPU and memory that another controller kept. Sent again, it changes nothing.
func (m *Monitor) ImportSnapshots(ctx context.Context, r *monitorv1.ImportSnapshotsRequest) (*monitorv1.ImportSnapshotsResponse, error) {
	if len(r.GetSnapshots()) > maxSnapshots {
		return nil, fmt.Errorf("%w: %d snapshots, at most %d in one request", build.ErrInvalid, len(r.GetSnapshots()), maxSnapshots)
	}
	for _, s := range r.GetSnapshots() {
		if !build.ValidID(s.GetBuildId()) || s.GetNumber() <= 0 {
			return nil, fmt.Errorf("%w: snapshot %d of build %.80q", build.ErrInvalid, s.GetNumber(), s.GetBuildId())
		}
	}
	t, err := m.store.ImportSnapshots(ctx, r.GetSnapshots(), r.GetCheck())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ImportSnapshotsResponse{Added: t.Added, Present: t.Present, Differ: t.Differ}, nil
}

// ImportReports takes over diagnostic reports with their ids and times. Sent again, it changes nothing.
func (m *Monitor) ImportReports(ctx context.Context, r *monitorv1.ImportReportsRequest) (*monitorv1.ImportReportsResponse, error) {
	if len(r.GetReports()) > maxReports {
		return nil, fmt.Errorf("%w: %d reports, at most %d in one request", build.ErrInvalid, len(r.GetReports()), maxReports)
	}
	for _, one := range r.GetReports() {
		if !build.ValidID(one.GetId()) {
			return nil, fmt.Errorf("%w: report id %.80q", build.ErrInvalid, one.GetId())
		}
		if err := validReport(one); err != nil {
			return nil, fmt.Errorf("report %s: %w", one.GetId(), err)
		}
	}
	t, err := m.store.ImportReports(ctx, r.GetReports(), r.GetCheck())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ImportReportsResponse{Added: t.Added, Present: t.Present, Differ: t.Differ}, nil
}

// ExportSnapshots gives back what was taken over and what was measured here since.
func (m *Monitor) ExportSnapshots(ctx context.Context, r *monitorv1.ExportSnapshotsRequest) (*monitorv1.ExportSnapshotsResponse, error) {
	all, next, err := m.store.ExportSnapshots(ctx, r.GetCursor())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ExportSnapshotsResponse{Snapshots: all, Next: next}, nil
}

// ExportReports gives reports of all workers by id.
func (m *Monitor) ExportReports(ctx context.Context, r *monitorv1.ExportReportsRequest) (*monitorv1.ExportReportsResponse, error) {
	all, err := m.store.ExportReports(ctx, r.GetAfterId(), exportReports)
	if err != nil {
		return nil, err
	}
	resp, size := &monitorv1.ExportReportsResponse{}, 0
	for _, one := range all {
		resp.Reports, resp.NextAfterId = append(resp.Reports, one), one.GetId()
		if size += proto.Size(one); size > exportBytes {
			return resp, nil
		}
	}
	if len(all) < exportReports {
		resp.NextAfterId = ""
	}
	return resp, nil
}
