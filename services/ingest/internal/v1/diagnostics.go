package v1

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
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// defaultReports and maxReports bound a list of diagnostic reports.
	defaultReports = 10
	maxReports     = farm.MaxReports
	// maxChecks bounds a report's checks, in bytes: the worker app sends some 2 KB, and maxReports
	// of them fit into one message of the bus (1 MB).
	maxChecks = 16 << 10
)

// report is a diagnostic report as the worker app sends it. Its time (run_at) is ignored.
type report struct {
	WorkerID   string          `json:"worker_id"`
	Status     string          `json:"status"`
	DurationMs *float64        `json:"duration_ms"`
	AutoFixed  json.RawMessage `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

// storedReport is a report in a response.
type storedReport struct {
	ID         string          `json:"id"`
	WorkerID   string          `json:"worker_id"`
	Status     string          `json:"status"`
	RunAt      int64           `json:"run_at"`
	DurationMs int64           `json:"duration_ms"`
	AutoFixed  bool            `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

func (h diagnostics) report(w http.ResponseWriter, r *http.Request) {
	id, err := h.addReport(w, r)
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"id": id, "status": "stored"})
}

func (h diagnostics) addReport(w http.ResponseWriter, r *http.Request) (id string, err error) {
	var report report
	if err := httpapi.ReadJSON(w, r, &report); err != nil {
		return "", err
	}
	report.Checks = bytes.ToValidUTF8(report.Checks, []byte(text.Replacement))
	if err := report.check(); err != nil {
		return "", err
	}
	if _, err := h.Farm.Worker(r.Context(), report.WorkerID); err != nil {
		return "", err
	}
	resp, err := h.Farm.Monitor.AddReport(r.Context(), &monitorv1.AddReportRequest{Report: report.message()})
	if err != nil {
		return "", fmt.Errorf("store a report of worker %s: %w", report.WorkerID, err)
	}
	return resp.GetId(), nil
}

// message converts a checked report for the monitor.
func (r report) message() *monitorv1.Report {
	return &monitorv1.Report{
		WorkerId: r.WorkerID, Status: r.Status, DurationMs: int64(*r.DurationMs), AutoFixed: truthy(r.AutoFixed),
		ChecksJson: r.Checks,
	}
}

// check returns what is wrong with the report, in the words of API v1.
func (r report) check() error {
	switch {
	case r.WorkerID == "" || r.Status == "" || r.DurationMs == nil || isNull(r.Checks):
		return httpx.Refuse(build.ErrInvalid, "Missing required fields: worker_id, status, duration_ms, checks")
	case !slices.Contains([]string{"healthy", "warning", "critical"}, r.Status):
		return httpx.Refuse(build.ErrInvalid, "Invalid status. Must be: healthy, warning, or critical")
	case r.Checks[0] != '[':
		return httpx.Refuse(build.ErrInvalid, "checks must be an array")
	case len(r.Checks) > maxChecks:
		return httpx.Refuse(build.ErrTooLarge, "checks has more than %d bytes", maxChecks)
	case *r.DurationMs < 0 || *r.DurationMs > math.MaxInt32: // 24 days
		return httpx.Refuse(build.ErrInvalid, "duration_ms is out of range")
	}
	return nil
}

func isNull(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

// truthy parses a flag as JavaScript does, like the legacy controller.
func truthy(v json.RawMessage) bool {
	return !isNull(v) && !slices.Contains([]string{"false", "0", `""`}, string(v))
}

// newest returns a worker's newest reports.
func (h diagnostics) newest(ctx context.Context, workerID string, limit int32) ([]storedReport, error) {
	reports, err := h.Farm.Reports(ctx, workerID, limit)
	if err != nil {
		return nil, err
	}
	list := make([]storedReport, len(reports))
	for i, p := range reports {
		list[i] = storedReport{
			ID: p.GetId(), WorkerID: p.GetWorkerId(), Status: p.GetStatus(), RunAt: p.GetRunAtMs(), DurationMs: p.GetDurationMs(),
			AutoFixed: p.GetAutoFixed(), Checks: p.GetChecksJson(),
		}
	}
	return list, nil
}

func (h diagnostics) reports(w http.ResponseWriter, r *http.Request) {
	worker := chi.URLParam(r, "worker")
	list, err := h.newest(r.Context(), worker, reportLimit(r))
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"worker_id": worker, "reports": list})
}

// reportLimit parses the limit. It ignores invalid values.
func reportLimit(r *http.Request) int32 {
	n, err := strconv.ParseInt(strings.TrimSpace(r.URL.Query().Get("limit")), 10, 32)
	if err != nil || n <= 0 {
		return defaultReports
	}
	return int32(min(n, maxReports))
}

func (h diagnostics) latestReport(w http.ResponseWriter, r *http.Request) {
	list, err := h.newest(r.Context(), chi.URLParam(r, "worker"), 1)
	switch {
	case err != nil:
		h.Fail(w, r, httpapi.V1, err)
	case len(list) == 0:
		httpapi.V1.Refuse(w, r, http.StatusNotFound, "report_not_found", "No diagnostic reports found")
	default:
		httpx.WriteJSON(w, http.StatusOK, list[0])
	}
}
