package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// defaultReports and maxReports bound a list of diagnostic reports.
	defaultReports = 10
	maxReports     = 50
	// maxChecks bounds a report's checks, in bytes: the worker app sends some 2 KB, and maxReports of them fit into one
	// message of the bus (1 MB).
	maxChecks = 16 << 10
)

// reportV1 is a diagnostic report as the worker app sends it. What it says of the time (run_at) is not read.
type reportV1 struct {
	WorkerID   string          `json:"worker_id"`
	Status     string          `json:"status"`
	DurationMs *float64        `json:"duration_ms"`
	AutoFixed  json.RawMessage `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

// storedReportV1 is a report as it is answered.
type storedReportV1 struct {
	ID         string          `json:"id"`
	WorkerID   string          `json:"worker_id"`
	Status     string          `json:"status"`
	RunAt      int64           `json:"run_at"`
	DurationMs int64           `json:"duration_ms"`
	AutoFixed  bool            `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

func (g *Ingest) reportV1(w http.ResponseWriter, r *http.Request) {
	id, err := g.addReport(w, r)
	if err != nil {
		g.Fail(w, r, httpapi.V1, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, map[string]string{"id": id, "status": "stored"})
}

func (g *Ingest) addReport(w http.ResponseWriter, r *http.Request) (id string, err error) {
	var report reportV1
	if err := httpapi.ReadJSON(w, r, &report); err != nil {
		return "", err
	}
	report.Checks = bytes.ToValidUTF8(report.Checks, []byte(text.Replacement))
	if err := report.check(); err != nil {
		return "", err
	}
	if _, err := g.farm.Worker(r.Context(), report.WorkerID); err != nil {
		return "", err
	}
	resp, err := g.farm.Monitor.AddReport(r.Context(), &monitorv1.AddReportRequest{Report: report.message()})
	if err != nil {
		return "", fmt.Errorf("store a report of worker %s: %w", report.WorkerID, err)
	}
	return resp.GetId(), nil
}

// message is a report that was checked, for the monitor.
func (r reportV1) message() *monitorv1.Report {
	return &monitorv1.Report{
		WorkerId: r.WorkerID, Status: r.Status, DurationMs: int64(*r.DurationMs), AutoFixed: truthy(r.AutoFixed),
		ChecksJson: r.Checks,
	}
}

// check says what is wrong in the words of API v1.
func (r reportV1) check() error {
	switch {
	case r.WorkerID == "" || r.Status == "" || r.DurationMs == nil || isNull(r.Checks):
		return httpapi.Refuse(build.ErrInvalid, "Missing required fields: worker_id, status, duration_ms, checks")
	case !slices.Contains([]string{"healthy", "warning", "critical"}, r.Status):
		return httpapi.Refuse(build.ErrInvalid, "Invalid status. Must be: healthy, warning, or critical")
	case r.Checks[0] != '[':
		return httpapi.Refuse(build.ErrInvalid, "checks must be an array")
	case len(r.Checks) > maxChecks:
		return httpapi.Refuse(build.ErrTooLarge, "checks has more than %d bytes", maxChecks)
	case *r.DurationMs < 0 || *r.DurationMs > math.MaxInt32: // 24 days
		return httpapi.Refuse(build.ErrInvalid, "duration_ms is out of range")
	}
	return nil
}

func isNull(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

// truthy reads a flag as the former controller did, which took whatever a script takes for true.
func truthy(v json.RawMessage) bool {
	return !isNull(v) && !slices.Contains([]string{"false", "0", `""`}, string(v))
}

// reports are a worker's newest.
func (g *Ingest) reports(ctx context.Context, workerID string, limit int32) ([]storedReportV1, error) {
	if _, err := g.farm.Worker(ctx, workerID); err != nil {
		return nil, err
	}
	resp, err := g.farm.Monitor.ListReports(ctx, &monitorv1.ListReportsRequest{WorkerId: workerID, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("reports of worker %s: %w", workerID, err)
	}
	list := make([]storedReportV1, len(resp.GetReports()))
	for i, p := range resp.GetReports() {
		list[i] = storedReportV1{
			ID: p.GetId(), WorkerID: p.GetWorkerId(), Status: p.GetStatus(), RunAt: p.GetRunAtMs(), DurationMs: p.GetDurationMs(),
			AutoFixed: p.GetAutoFixed(), Checks: p.GetChecksJson(),
		}
	}
	return list, nil
}

func (g *Ingest) reportsV1(w http.ResponseWriter, r *http.Request) {
	worker := chi.URLParam(r, "worker")
	list, err := g.reports(r.Context(), worker, reportLimit(r))
	if err != nil {
		g.Fail(w, r, httpapi.V1, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, map[string]any{"worker_id": worker, "reports": list})
}

// reportLimit reads leniently: what is no number is as if it were not there.
func reportLimit(r *http.Request) int32 {
	n, err := strconv.ParseInt(strings.TrimSpace(r.URL.Query().Get("limit")), 10, 32)
	if err != nil || n <= 0 {
		return defaultReports
	}
	return int32(min(n, maxReports))
}

func (g *Ingest) latestReportV1(w http.ResponseWriter, r *http.Request) {
	list, err := g.reports(r.Context(), chi.URLParam(r, "worker"), 1)
	switch {
	case err != nil:
		g.Fail(w, r, httpapi.V1, err)
	case len(list) == 0:
		httpapi.V1.Refuse(w, r, http.StatusNotFound, "report_not_found", "No diagnostic reports found")
	default:
		httpapi.WriteJSON(w, http.StatusOK, list[0])
	}
}
