package v2

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

func (h builds) telemetry(w http.ResponseWriter, r *http.Request) {
	t, err := h.readTelemetry(r)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	writeWithETag(w, r, t)
}

func (h builds) readTelemetry(r *http.Request) (t api.Telemetry, err error) {
	id := chi.URLParam(r, "id")
	req, err := telemetryQuery(r.URL.Query())
	if err != nil {
		return t, err
	}
	if _, err := h.Farm.Build(r.Context(), id); err != nil {
		return t, err
	}
	req.BuildId = id
	resp, err := h.Farm.Monitor.Telemetry(r.Context(), req)
	if err != nil {
		return t, err
	}
	t = api.Telemetry{Resolution: int(resp.GetResolutionSeconds()), Cut: resp.GetCut(), Points: make([]api.TelemetryPoint, len(resp.GetPoints()))}
	for i, p := range resp.GetPoints() {
		t.Points[i] = api.TelemetryPoint{
			At: time.UnixMilli(p.GetAtMs()).UTC().Format(time.RFC3339), Attempt: int(p.GetAttempt()), Stage: p.GetStage(), Samples: p.GetSamples(),
			CPUPercent: p.CpuPercent, CPUPercentMax: p.CpuPercentMax, MemoryMB: p.MemoryMb, MemoryMBMax: p.MemoryMbMax,
			MemoryUnreliable: p.GetMemoryUnreliable(), DiskPercent: p.DiskPercent, Processes: p.Processes,
		}
	}
	return t, nil
}

// telemetryQuery parses the query. It refuses unknown parameters.
func telemetryQuery(q url.Values) (*monitorv1.TelemetryRequest, error) {
	req := &monitorv1.TelemetryRequest{}
	for name := range q {
		if !slices.Contains([]string{"from", "to", "resolution"}, name) {
			return nil, httpx.Refuse(build.ErrInvalid, "No such parameter: %.40q", name)
		}
	}
	for name, at := range map[string]*int64{"from": &req.FromMs, "to": &req.ToMs} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil || t.UnixMilli() <= 0 {
			return nil, httpx.Refuse(build.ErrInvalid, "%s must be a time such as 2026-11-26T10:00:00Z (got %.40q)", name, text)
		}
		*at = t.UnixMilli()
	}
	if text := q.Get("resolution"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 || n > 24*60*60 {
			return nil, httpx.Refuse(build.ErrInvalid, "resolution must be 0 to 86400 seconds (got %.20q)", text)
		}
		req.ResolutionSeconds = int32(n)
	}
	return req, nil
}
