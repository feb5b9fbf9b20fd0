package legacy

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/reports"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

const (
	// maxSnapshots and maxReports bound one import.
	maxSnapshots = 5000
	maxReports   = 500
	// exportReports is how many a page has at most, exportBytes where it ends earlier: below a message's limit (1 MiB).
	exportReports = 100
	exportBytes   = 512 << 10
)

// Service answers the requests of import and export. Make it with New; it is safe for concurrent use.
type Service struct {
	db      *database.DB
	reports *store.Reports
}

// New returns a service over the monitor's database and its table of reports.
func New(db *database.DB, r *store.Reports) *Service { return &Service{db: db, reports: r} }

// ImportSnapshots adds samples of CPU and memory of the legacy controller. A repeat changes nothing.
func (s *Service) ImportSnapshots(ctx context.Context, r *monitorv1.ImportSnapshotsRequest) (*monitorv1.ImportSnapshotsResponse, error) {
	if len(r.GetSnapshots()) > maxSnapshots {
		return nil, fmt.Errorf("%w: %d snapshots, at most %d in one request", build.ErrInvalid, len(r.GetSnapshots()), maxSnapshots)
	}
	for _, one := range r.GetSnapshots() {
		if !build.ValidID(one.GetBuildId()) || one.GetNumber() <= 0 {
			return nil, fmt.Errorf("%w: snapshot %d of build %.80q", build.ErrInvalid, one.GetNumber(), one.GetBuildId())
		}
	}
	t, err := s.importSnapshots(ctx, r.GetSnapshots(), r.GetCheck())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ImportSnapshotsResponse{Added: t.added, Present: t.present, Differ: t.differ}, nil
}

// ImportReports adds diagnostic reports with their ids and times. A repeat changes nothing.
func (s *Service) ImportReports(ctx context.Context, r *monitorv1.ImportReportsRequest) (*monitorv1.ImportReportsResponse, error) {
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
	t, err := s.importReports(ctx, r.GetReports(), r.GetCheck())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ImportReportsResponse{Added: t.added, Present: t.present, Differ: t.differ}, nil
}

// ExportSnapshots returns imported samples and those measured here.
func (s *Service) ExportSnapshots(ctx context.Context, r *monitorv1.ExportSnapshotsRequest) (*monitorv1.ExportSnapshotsResponse, error) {
	all, next, err := s.pageOfSnapshots(ctx, r.GetCursor())
	if err != nil {
		return nil, err
	}
	return &monitorv1.ExportSnapshotsResponse{Snapshots: all, Next: next}, nil
}

// ExportReports returns reports of all workers by id.
func (s *Service) ExportReports(ctx context.Context, r *monitorv1.ExportReportsRequest) (*monitorv1.ExportReportsResponse, error) {
	all, err := s.reports.After(ctx, r.GetAfterId(), exportReports)
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
