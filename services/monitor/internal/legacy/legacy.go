package legacy

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/reports"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// maxSnapshots and maxReports bound one import.
	maxSnapshots = 5000
	maxReports   = 500
	// exportReports is how many a page has at most, exportBytes where it ends earlier: below a message's limit (1 MiB).
	exportReports = 100
	exportBytes   = 512 << 10
)

// Legacy answers requests of imports and exports.
type Legacy struct{ store *store.Legacy }

// New returns legacy requests over a store.
func New(s *store.Legacy) *Legacy { return &Legacy{s} }

// ImportSnapshots adds samples of CPU and memory of another controller. A repeat changes nothing.
func (l *Legacy) ImportSnapshots(ctx context.Context, r *monitorv1.ImportSnapshotsRequest) (*monitorv1.ImportSnapshotsResponse, error) {
	if len(r.GetSnapshots()) > maxSnapshots {
		return nil, fmt.Errorf("%w: %d snapshots, at most %d in one request", build.ErrInvalid, len(r.GetSnapshots()), maxSnapshots)
	}
	for _, s := range r.GetSnapshots() {
		if !build.ValidID(s.GetBuildId()) || s.GetNumber() <= 0 {
			return nil, fmt.Errorf("%w: snapshot %d of build %.80q", build.ErrInvalid, s.GetNumber(), s.GetBuildId())
		}
	}
	t, err := l.store.ImportSnapshots(ctx, r.GetSnapshots(), r.GetCheck())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ImportSnapshotsResponse{Added: t.Added, Present: t.Present, Differ: t.Differ}, nil
}

// ImportReports adds diagnostic reports with their ids and times. A repeat changes nothing.
func (l *Legacy) ImportReports(ctx context.Context, r *monitorv1.ImportReportsRequest) (*monitorv1.ImportReportsResponse, error) {
	if len(r.GetReports()) > maxReports {
		return nil, fmt.Errorf("%w: %d reports, at most %d in one request", build.ErrInvalid, len(r.GetReports()), maxReports)
	}
	for _, one := range r.GetReports() {
		if !build.ValidID(one.GetId()) {
			return nil, fmt.Errorf("%w: report id %.80q", build.ErrInvalid, one.GetId())
		}
		if err := reports.Validate(one); err != nil {
			return nil, fmt.Errorf("report %s: %w", one.GetId(), err)
		}
	}
	t, err := l.store.ImportReports(ctx, r.GetReports(), r.GetCheck())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ImportReportsResponse{Added: t.Added, Present: t.Present, Differ: t.Differ}, nil
}

// ExportSnapshots returns imported samples and those measured here.
func (l *Legacy) ExportSnapshots(ctx context.Context, r *monitorv1.ExportSnapshotsRequest) (*monitorv1.ExportSnapshotsResponse, error) {
	all, next, err := l.store.ExportSnapshots(ctx, r.GetCursor())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ExportSnapshotsResponse{Snapshots: all, Next: next}, nil
}

// ExportReports returns reports of all workers by id.
func (l *Legacy) ExportReports(ctx context.Context, r *monitorv1.ExportReportsRequest) (*monitorv1.ExportReportsResponse, error) {
	all, err := l.store.ExportReports(ctx, r.GetAfterId(), exportReports)
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
