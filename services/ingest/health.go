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
	Status  string        `json:"status"`
	Queue   queueHealth   `json:"queue"`
	Storage storageHealth `json:"storage"`
	// Problems are problems for operators. API v1 did not have them.
	Problems []string `json:"problems,omitempty"`
	// Notice is a notice for administrators, such as a retention policy that has yet to take
	// effect.
	Notice string `json:"notice,omitempty"`
}

// unhealthy is the response of /health while the scheduler is unavailable.
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

type storageHealth struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
}

// probeTimeout bounds a health check. It is shorter than the timeouts of usual probes.
const probeTimeout = 2 * time.Second

// health responds as the legacy controller did, since installers probe it. It reports the health of
// the whole installation; load balancers should probe /readyz instead.
func (g *Ingest) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	s, err := g.farm.Scheduler.Summary(ctx, &schedulerv1.SummaryRequest{})
	stored := g.checkStorage(ctx)
	problems := g.problems(ctx, err, stored)
	if err != nil {
		g.log.WarnContext(ctx, "unhealthy", "err", err)
		w.Header().Set("Retry-After", httpapi.RetryAfter)
		httpx.WriteJSON(w, http.StatusServiceUnavailable, unhealthy{Error: httpapi.MsgUnavailable, Status: "unavailable", Problems: problems})
		return
	}
	httpx.WriteJSON(w, http.StatusOK, healthAnswer{
		Status: "ok", Queue: queueHealth{s.GetPending(), s.GetActive(), s.GetTotal()},
		Storage: storageHealth{g.cfg.StoragePath, stored == nil}, Problems: problems, Notice: s.GetNotice(),
	})
}

// problems returns sentences for operators. They are public, so the errors behind them are only
// logged.
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

// checkStorage asks for an object that cannot exist. It returns nil if the artifact service says
// so.
func (g *Ingest) checkStorage(ctx context.Context) error {
	_, err := g.farm.Artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: "none"})
	if errors.Is(err, build.ErrObjectNotFound) || errors.Is(err, build.ErrInvalid) {
		return nil
	}
	return err
}

// live is the liveness probe.
func (g *Ingest) live(w http.ResponseWriter, _ *http.Request) {
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready is the readiness probe. It logs why the gateway is not ready.
func (g *Ingest) ready(w http.ResponseWriter, r *http.Request) {
	if err := g.Ready(r.Context()); err != nil {
		g.log.InfoContext(r.Context(), "not ready", "err", err)
		httpx.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// Ready returns why this process cannot serve requests, nil if it can. Dependencies shared with
// other replicas (scheduler, artifact service, bus, database) do not count: otherwise all replicas
// would be unready at once, and the load balancer would also reject requests for pages, logs and
// downloads that still work. Requests that need an unavailable dependency get 503 with Retry-After.
// Dependencies embedded in this process do count, since no other process could serve. It is safe
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

// Check returns why a dependency of the gateway is unavailable, nil if all are available. It is
// safe for concurrent use.
func (g *Ingest) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := g.farm.Scheduler.Summary(ctx, &schedulerv1.SummaryRequest{}); err != nil {
		return err
	}
	if err := g.checkStorage(ctx); err != nil {
		return err
	}
	_, err := g.store.Key(ctx, "")
	if errors.Is(err, build.ErrUnauthorized) {
		return nil
	}
	return err
}
