package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// MaxChecks bounds the checks of one report, in bytes.
const MaxChecks = 256 << 10

const (
	// defaultReports and mostReports are how many a list has.
	defaultReports = 10
	mostReports    = 100
)

// Reports answers requests about diagnostic reports of workers.
type Reports struct{ store *store.Reports }

// New returns reports over a store.
func New(s *store.Reports) *Reports { return &Reports{s} }

// AddReport stores a worker's report. It returns the errors of Validate.
func (s *Reports) AddReport(ctx context.Context, req *monitorv1.AddReportRequest) (*monitorv1.AddReportResponse, error) {
	r := req.GetReport()
	if err := Validate(r); err != nil {
		return nil, err
	}
	r.Id, r.RunAtMs = build.NewID(), time.Now().UnixMilli()
	if err := s.store.Add(ctx, r); err != nil {
		return nil, err
	}
	return &monitorv1.AddReportResponse{Id: r.GetId()}, nil
}

// Validate returns build.ErrInvalid unless the report has a worker, its status is healthy, warning or critical, and its checks are a
// JSON array, and build.ErrTooLarge if that exceeds 256 KiB.
func Validate(r *monitorv1.Report) error {
	var checks []json.RawMessage
	switch {
	case !build.ValidID(r.GetWorkerId()):
		return fmt.Errorf("%w: worker id %.80q", build.ErrInvalid, r.GetWorkerId())
	case !slices.Contains([]string{"healthy", "warning", "critical"}, r.GetStatus()):
		return fmt.Errorf("%w: status %.40q, want healthy, warning or critical", build.ErrInvalid, r.GetStatus())
	case len(r.GetChecksJson()) > MaxChecks:
		return fmt.Errorf("%w: checks of %d bytes, at most %d", build.ErrTooLarge, len(r.GetChecksJson()), MaxChecks)
	case json.Unmarshal(r.GetChecksJson(), &checks) != nil:
		return fmt.Errorf("%w: checks are not a JSON array", build.ErrInvalid)
	}
	return nil
}

// ListReports returns a worker's reports, newest first.
func (s *Reports) ListReports(ctx context.Context, req *monitorv1.ListReportsRequest) (*monitorv1.ListReportsResponse, error) {
	limit := req.GetLimit()
	if limit <= 0 {
		limit = defaultReports
	}
	reports, err := s.store.List(ctx, req.GetWorkerId(), min(limit, mostReports))
	if err != nil {
		return nil, err
	}
	return &monitorv1.ListReportsResponse{Reports: reports}, nil
}
