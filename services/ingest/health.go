package ingest

import (
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

type healthV1 struct {
	Status string `json:"status"`
	Queue  struct {
		Pending int64 `json:"pending"`
		Active  int64 `json:"active"`
		Total   int64 `json:"total"`
	} `json:"queue"`
	Storage struct {
		Path   string `json:"path"`
		Exists bool   `json:"exists"`
	} `json:"storage"`
}

// health answers as the former controller did; installers probe it.
func (g *Ingest) health(w http.ResponseWriter, r *http.Request) {
	var s schedulerv1.SummaryResponse
	if err := g.ask(r.Context(), "scheduler", "summary", &schedulerv1.SummaryRequest{}, &s); err != nil {
		g.fail(w, r, v1, err)
		return
	}
	h := healthV1{Status: "ok"}
	h.Queue.Pending, h.Queue.Active, h.Queue.Total = s.GetPending(), s.GetActive(), s.GetTotal()
	h.Storage.Path, h.Storage.Exists = g.cfg.StoragePath, true
	writeJSON(w, http.StatusOK, h)
}

// ready says whether a request would be served now, and if not why.
func (g *Ingest) ready(w http.ResponseWriter, r *http.Request) {
	err := g.ask(r.Context(), "scheduler", "summary", &schedulerv1.SummaryRequest{}, &schedulerv1.SummaryResponse{})
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
