package v1

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// maxName is the scheduler's limit of a worker's name, in bytes.
const maxName = 200

type register struct {
	Name         string `json:"name"`
	Capabilities *struct {
		// Platforms are those that it can build; empty means all.
		Platforms []string `json:"platforms"`
		Xcode     string   `json:"xcode_version"`
	} `json:"capabilities"`
}

// register registers a worker that polls. The Mac app registers at every start, with a new id each
// time.
func (h workers) register(w http.ResponseWriter, r *http.Request) {
	var req register
	err := httpapi.ReadJSON(w, r, &req)
	if err == nil && (req.Name == "" || req.Capabilities == nil) {
		err = httpx.Refuse(build.ErrInvalid, httpapi.MsgRegister)
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	labels := map[string]string{}
	if x := req.Capabilities.Xcode; x != "" {
		labels["xcode"] = text.Line(text.Cut(x, maxName))
	}
	id := build.NewID()
	_, err = h.Farm.Scheduler.RegisterWorker(r.Context(), &schedulerv1.RegisterWorkerRequest{
		WorkerId: id, Name: text.Line(text.Cut(req.Name, maxName)), Platforms: req.Capabilities.Platforms, Slots: 1, Labels: labels, Polls: true,
	})
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	h.Farm.WorkerAlive(r.Context(), id)
	h.Log.InfoContext(r.Context(), "worker registered", "worker_id", id)
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"id": id, "status": "registered", "baseImageId": h.BaseImage})
}

type job struct {
	ID        string  `json:"id"`
	Platform  string  `json:"platform"`
	SourceURL string  `json:"source_url"`
	CertsURL  *string `json:"certs_url"`
	BaseImage string  `json:"baseImageId"`
}

// poll assigns a build to a worker. The scheduler finds and claims it in one step, and returns the
// same build until it has ended, so a lost response does no harm.
func (h workers) poll(w http.ResponseWriter, r *http.Request) {
	worker := r.URL.Query().Get("worker_id")
	if worker == "" {
		h.Fail(w, r, httpapi.V1, httpx.Refuse(build.ErrInvalid, httpapi.MsgWorkerID))
		return
	}
	var resp *schedulerv1.PollResponse
	err := build.ErrWorkerUnknown
	if build.ValidID(worker) {
		resp, err = h.Farm.Scheduler.Poll(r.Context(), &schedulerv1.PollRequest{WorkerId: worker})
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	b := resp.GetBuild()
	if b.GetId() == "" {
		h.Farm.WorkerAlive(r.Context(), worker)
		httpx.WriteJSON(w, http.StatusOK, map[string]any{"job": nil})
		return
	}
	h.Farm.RenewLease(r.Context(), b)
	job := job{ID: b.GetId(), Platform: b.GetPlatform(), SourceURL: "/api/builds/" + b.GetId() + "/source", BaseImage: h.BaseImage}
	if b.GetCerts().GetObjectId() != "" {
		url := "/api/builds/" + b.GetId() + "/certs"
		job.CertsURL = &url
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"job": job})
}

func (h workers) unregister(w http.ResponseWriter, r *http.Request) {
	err := build.ErrWorkerUnknown
	if id := chi.URLParam(r, "id"); build.ValidID(id) {
		_, err = h.Farm.Scheduler.WithdrawWorker(r.Context(), &schedulerv1.WithdrawWorkerRequest{WorkerId: id})
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "unregistered"})
}

type workerStats struct {
	Total  int64  `json:"totalBuilds"`
	Good   int64  `json:"successfulBuilds"`
	Bad    int64  `json:"failedBuilds"`
	Name   string `json:"workerName"`
	Status string `json:"status"`
	Up     string `json:"uptime"`
}

func (h workers) workerStats(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.Worker(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	worker, status := resp.GetWorker(), "idle"
	switch {
	case worker.GetHeld() > 0:
		status = "building"
	case !worker.GetOnline():
		status = "offline"
	}
	httpx.WriteJSON(w, http.StatusOK, workerStats{
		Total: resp.GetCompleted() + resp.GetFailed(), Good: resp.GetCompleted(), Bad: resp.GetFailed(), Name: worker.GetName(),
		Status: status, Up: uptime(time.Since(time.UnixMilli(worker.GetRegisteredAtMs()))),
	})
}

// uptime formats a duration with its two largest units, as the Mac app shows it.
func uptime(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	switch days, hours, minutes := s/86400, s/3600%24, s/60%60; {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm %ds", minutes, s%60)
	default:
		return fmt.Sprintf("%ds", s)
	}
}

// source sends the source to the worker that holds the build. The scripts expect this file name,
// whatever the format.
func (h workers) source(w http.ResponseWriter, r *http.Request) {
	b := heldBuild(r.Context())
	if err := h.Farm.ReportStage(r.Context(), b, ""); err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	h.Objects.Transfer(w, r, httpapi.V1, b.GetSource().GetObjectId(), objects.File{Name: b.GetId() + ".zip"})
}

// readObject decodes a JSON object of at most httpapi.MaxBody bytes and refuses anything else.
func readObject(r io.Reader, v any) error {
	data, err := io.ReadAll(io.LimitReader(r, httpapi.MaxBody+1))
	switch {
	case err != nil:
		return httpapi.BodyError(err)
	case len(data) > httpapi.MaxBody:
		return httpx.Refuse(build.ErrTooLarge, "The body is larger than %d bytes", httpapi.MaxBody)
	}
	data = httpapi.CleanJSON(data)
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return httpx.Refuse(build.ErrInvalid, "The body is not a JSON object")
	}
	if err := json.Unmarshal(data, v); err != nil {
		return httpx.Refuse(build.ErrInvalid, "The body is not the JSON object expected: %v", err)
	}
	return nil
}
