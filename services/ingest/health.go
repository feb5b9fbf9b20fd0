package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

type healthAnswer struct {
	Status  string       `json:"status"`
	Queue   queueHealth  `json:"queue"`
	Storage storeHealth1 `json:"storage"`
	// Problems are what an operator should do something about. They came after API v1.
	Problems []string `json:"problems,omitempty"`
	// Notice is what administrators should know; only while there is something.
	Notice string `json:"notice,omitempty"`
}

// unhealthy is the answer of /health while the scheduler does not answer.
type unhealthy struct {
	Error    string   `json:"error"`
	Status   string   `json:"status"`
	Problems []string `json:"problems"`
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

// health answers as the former controller did; installers probe it. It says what is wrong with the
// whole installation, so no load balancer should ask it: that is what /readyz is for.
func (g *Ingest) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	s, err := g.farm.Scheduler.Summary(ctx, &schedulerv1.SummaryRequest{})
	stored := g.storageAnswers(ctx)
	problems := g.problems(ctx, err, stored)
	if err != nil {
		g.log.WarnContext(ctx, "unhealthy", "err", err)
		w.Header().Set("Retry-After", httpapi.RetryAfter)
		httpx.WriteJSON(w, http.StatusServiceUnavailable, unhealthy{Error: httpapi.MsgUnavailable, Status: "unavailable", Problems: problems})
		return
	}
	httpx.WriteJSON(w, http.StatusOK, healthAnswer{
		Status: "ok", Queue: queueHealth{s.GetPending(), s.GetActive(), s.GetTotal()},
		Storage: storeHealth1{g.cfg.StoragePath, stored == nil}, Problems: problems, Notice: s.GetNotice(),
	})
}

// problems are sentences for operators. Anybody may read them, so the errors behind them are only logged.
func (g *Ingest) problems(ctx context.Context, scheduler, storage error) []string {
	var all []string
	if !g.deps.Conn.IsConnected() {
		all = append(all, "The bus cannot be reached.")
	}
	all = append(all, g.storage.Problems()...)
	if scheduler != nil {
		all = append(all, "The scheduler does not answer: builds are neither taken nor handed out.")
	}
	if storage != nil {
		g.log.WarnContext(ctx, "artifact service unavailable", "err", storage)
		all = append(all, "The artifact service does not answer: files are neither taken nor served.")
	}
	if _, err := g.store.Key(ctx, ""); err != nil && !errors.Is(err, build.ErrUnauthorized) {
		g.log.WarnContext(ctx, "database unavailable", "err", err)
		all = append(all, "The gateway's database does not answer: keys cannot be checked.")
	}
	if g.deps.Problems != nil {
		all = append(all, g.deps.Problems()...)
	}
	return all
}

// storageAnswers asks for an object that cannot be: whoever says so is there.
func (g *Ingest) storageAnswers(ctx context.Context) error {
	_, err := g.farm.Artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: "none"})
	if errors.Is(err, build.ErrObjectNotFound) || errors.Is(err, build.ErrInvalid) {
		return nil
	}
	return err
}

// live says that the process answers.
func (g *Ingest) live(w http.ResponseWriter, _ *http.Request) {
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether this process can serve. The reason is for operators: it goes to the log.
func (g *Ingest) ready(w http.ResponseWriter, r *http.Request) {
	if err := g.Ready(r.Context()); err != nil {
		g.log.InfoContext(r.Context(), "not ready", "err", err)
		httpx.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// Ready says why this process could not serve requests now, nil if it could. What it shares with its
// replicas (scheduler, artifact service, bus, database) does not count: all replicas would be unready
// at once, and a load balancer would answer in their place, also for pages, logs and downloads that
// still work. Requests that need what is away are answered with 503 and Retry-After. Where the
// dependencies are embedded in this process, they do count: then nobody else could serve. It is safe
// for concurrent use.
func (g *Ingest) Ready(ctx context.Context) error {
	if err := g.stopping.Err(); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	if g.deps.Embedded == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return errors.Join(g.deps.Embedded(ctx), g.Check(ctx))
}

// Check says what the gateway needs and does not reach now, nil if it reaches everything. It is safe for
// concurrent use.
func (g *Ingest) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := g.farm.Scheduler.Summary(ctx, &schedulerv1.SummaryRequest{}); err != nil {
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
