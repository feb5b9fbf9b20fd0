package v2

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// join registers a worker and returns credentials for the bus. A worker that presents its earlier
// credentials keeps its identity.
func (h workers) join(w http.ResponseWriter, r *http.Request) {
	var req api.JoinRequest
	if err := httpapi.ReadJSON(w, r, &req); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	worker, secret, err := h.identify(r.Context(), req)
	if err == nil {
		err = h.admitWorker(r.Context(), worker, req)
	}
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.Log.InfoContext(r.Context(), "worker joined", "worker_id", worker.ID, "pool", worker.Pool)
	httpx.WriteJSON(w, http.StatusOK, api.JoinResponse{
		WorkerID: worker.ID, Secret: secret, BusURL: h.BusURL(r), Pool: worker.Pool, Platforms: platformsOrAll(worker.Platforms),
	})
}

func platformsOrAll(platforms []string) []string {
	if len(platforms) > 0 {
		return platforms
	}
	for _, p := range build.Platforms() {
		platforms = append(platforms, string(p))
	}
	return platforms
}

func (h workers) identify(ctx context.Context, req api.JoinRequest) (identity.Worker, string, error) {
	fresh := identity.Worker{ID: build.NewID(), Pool: req.Pool, Platforms: req.Platforms}
	if fresh.Pool == "" {
		fresh.Pool = build.DefaultPool
	}
	if !build.ValidID(req.WorkerID) {
		return withSecret(fresh, identity.NewSecret())
	}
	known, err := h.Store.Worker(ctx, req.WorkerID)
	switch {
	case errors.Is(err, build.ErrWorkerUnknown), err == nil && !identity.Matches(req.Secret, known.SecretHash):
		return withSecret(fresh, identity.NewSecret())
	case err != nil:
		return fresh, "", fmt.Errorf("%w: %w", build.ErrUnavailable, err)
	case known.Revoked:
		return fresh, "", httpx.Refuse(build.ErrUnauthorized, "This worker was revoked")
	}
	fresh.ID = known.ID
	return withSecret(fresh, req.Secret)
}

func withSecret(w identity.Worker, secret string) (identity.Worker, string, error) {
	w.SecretHash = identity.Hash(secret)
	return w, secret, nil
}

// maxWorkerSlots keeps the number within int32. The scheduler has a lower limit of its own.
const maxWorkerSlots = 1000

// admitWorker registers the worker with the scheduler, which validates it, before it stores the
// credentials. It refuses a worker that could not connect to the bus.
func (h workers) admitWorker(ctx context.Context, w identity.Worker, req api.JoinRequest) error {
	if _, err := identity.Permissions(w); err != nil {
		return httpx.Refuse(build.ErrInvalid, "%v", err)
	}
	_, err := h.Farm.Scheduler.RegisterWorker(ctx, &schedulerv1.RegisterWorkerRequest{
		WorkerId: w.ID, Name: req.Name, Pool: w.Pool, Platforms: w.Platforms, Labels: req.Labels, Version: req.Version, Machine: req.Machine,
		Slots: int32(min(max(req.Slots, 1), maxWorkerSlots)),
	})
	if err != nil {
		return fmt.Errorf("register the worker: %w", err)
	}
	if err := h.Store.PutWorker(ctx, w); err != nil {
		return fmt.Errorf("%w: %w", build.ErrUnavailable, err)
	}
	return nil
}
