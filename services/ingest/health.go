package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

type healthV1 struct {
	Status  string       `json:"status"`
	Queue   queueHealth  `json:"queue"`
	Storage storeHealth1 `json:"storage"`
	// Notice is what administrators should know; only while there is something.
	Notice string `json:"notice,omitempty"`
}

type queueHealth struct {
	Pending int64 `json:"pending"`
	Active  int64 `json:"active"`
	Total   int64 `json:"total"`
}

type storeHealth1 struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
}

// probeTimeout is within what probes wait.
const probeTimeout = 2 * time.Second

// health answers as the former controller did; installers probe it.
func (g *Ingest) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	var s schedulerv1.SummaryResponse
	if err := g.ask(ctx, "scheduler", "summary", &schedulerv1.SummaryRequest{}, &s); err != nil {
		g.fail(w, r, v1, err)
		return
	}
	writeJSON(w, http.StatusOK, healthV1{
		Status: "ok", Queue: queueHealth{s.GetPending(), s.GetActive(), s.GetTotal()},
		Storage: storeHealth1{g.cfg.StoragePath, g.storageAnswers(ctx) == nil}, Notice: s.GetNotice(),
	})
}

// storageAnswers asks for an object that cannot be: whoever says so is there.
func (g *Ingest) storageAnswers(ctx context.Context) error {
	err := g.ask(ctx, "artifact", "stat", &artifactv1.StatRequest{ObjectId: "none"}, &artifactv1.StatResponse{})
	if errors.Is(err, build.ErrObjectNotFound) || errors.Is(err, build.ErrInvalid) {
		return nil
	}
	return err
}

// live says that the process answers.
func (g *Ingest) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether a submit would be taken now. The reason is for operators: it goes to the log.
func (g *Ingest) ready(w http.ResponseWriter, r *http.Request) {
	if err := g.Ready(r.Context()); err != nil {
		g.log.InfoContext(r.Context(), "not ready", "err", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// Ready says why a submit would not be taken now, nil if it would. It is safe for concurrent use.
func (g *Ingest) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := g.stopping.Err(); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	if err := g.ask(ctx, "scheduler", "summary", &schedulerv1.SummaryRequest{}, &schedulerv1.SummaryResponse{}); err != nil {
		return err
	}
	if err := g.storageAnswers(ctx); err != nil {
		return err
	}
	_, err := g.store.Key(ctx, "")
	if errors.Is(err, build.ErrUnauthorized) {
		return nil
	}
	return err
}
