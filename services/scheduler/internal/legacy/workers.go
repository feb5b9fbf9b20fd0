package legacy

import (
	"context"
	"errors"
	"fmt"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// ImportWorkers adds workers of the legacy controller, in one transaction. Each polls, and is offline until it does. A repeat changes
// nothing.
func (s *Service) ImportWorkers(ctx context.Context, r *schedulerv1.ImportWorkersRequest) (*schedulerv1.ImportWorkersResponse, error) {
	if len(r.GetWorkers()) > maxImport {
		return nil, fmt.Errorf("%w: %d workers, at most %d in one request", build.ErrInvalid, len(r.GetWorkers()), maxImport)
	}
	workers := make([]store.Worker, len(r.GetWorkers()))
	for i, v := range r.GetWorkers() {
		w, err := s.registry.NewWorker(&schedulerv1.RegisterWorkerRequest{
			WorkerId: v.GetId(), Name: v.GetName(), Pool: v.GetPool(), Platforms: v.GetPlatforms(), Slots: v.GetSlots(),
			Labels: v.GetLabels(), Version: v.GetVersion(), Polls: true,
		})
		if err != nil {
			return nil, fmt.Errorf("worker %.80q: %w", v.GetId(), err)
		}
		w.RegisteredAt, w.SeenAt = store.FromMillis(v.GetRegisteredAtMs()), store.FromMillis(v.GetSeenAtMs())
		workers[i] = w
	}
	resp := &schedulerv1.ImportWorkersResponse{}
	err := s.machine.Store.Update(ctx, func(tx *store.Tx) error {
		resp.Found = make([]*schedulerv1.Found, 0, len(workers))
		for _, w := range workers {
			found, err := importWorker(ctx, tx, w, r.GetCheck())
			if err != nil {
				return err
			}
			resp.Found = append(resp.Found, found)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func importWorker(ctx context.Context, tx *store.Tx, w store.Worker, check bool) (*schedulerv1.Found, error) {
	have, err := tx.Worker(ctx, w.ID)
	switch {
	case errors.Is(err, build.ErrWorkerUnknown) && check:
		return found(schedulerv1.Found_OUTCOME_ADDED, ""), nil
	case errors.Is(err, build.ErrWorkerUnknown):
		return found(schedulerv1.Found_OUTCOME_ADDED, ""), tx.InsertWorker(ctx, w)
	case err != nil:
		return nil, err
	case have.Name != w.Name, !have.RegisteredAt.Equal(w.RegisteredAt):
		return found(schedulerv1.Found_OUTCOME_DIFFERS, fmt.Sprintf("here it is %.80q", have.Name)), nil
	}
	return found(schedulerv1.Found_OUTCOME_PRESENT, ""), nil
}
