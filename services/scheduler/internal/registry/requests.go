package registry

import (
	"context"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
)

// WithdrawWorker deletes a worker that leaves. The builds that it holds go back to the queue; the attempts do not count as lost. Its next
// request gets build.ErrWorkerUnknown.
func (r *Registry) WithdrawWorker(
	ctx context.Context, req *schedulerv1.WithdrawWorkerRequest,
) (*schedulerv1.WithdrawWorkerResponse, error) {
	err := r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, req.GetWorkerId())
		if err != nil {
			return err
		}
		held, err := tx.Held(ctx, w.ID)
		if err != nil {
			return err
		}
		for _, old := range held {
			b, err := tx.Build(ctx, old.ID) // locks it: held was read without
			if err != nil {
				return err
			}
			if !b.HeldBy(w.ID, old.Attempt) {
				continue
			}
			if _, err := r.machine.Return(ctx, tx, b, "the worker was stopped"); err != nil {
				return err
			}
		}
		return tx.DeleteWorker(ctx, w.ID)
	})
	if err != nil {
		return nil, err
	}
	r.machine.Signal.Arrived()
	return &schedulerv1.WithdrawWorkerResponse{}, nil
}

// GetWorker returns a worker and what became of its attempts, those of expired builds too.
func (r *Registry) GetWorker(ctx context.Context, req *schedulerv1.GetWorkerRequest) (*schedulerv1.GetWorkerResponse, error) {
	w, err := r.machine.Store.Worker(ctx, req.GetWorkerId())
	if err != nil {
		return nil, err
	}
	held, err := r.machine.Store.Held(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	completed, failed, err := r.machine.Store.Ended(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	expiredCompleted, expiredFailed, err := r.expired.Ended(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	return &schedulerv1.GetWorkerResponse{
		Worker:    view.Worker(store.Capacity{Worker: w, Held: int32(len(held))}), // a handful
		Completed: completed + expiredCompleted, Failed: failed + expiredFailed,
	}, nil
}

// ListWorkers returns workers, those online first.
func (r *Registry) ListWorkers(ctx context.Context, req *schedulerv1.ListWorkersRequest) (*schedulerv1.ListWorkersResponse, error) {
	workers, err := r.machine.Store.Workers(ctx, view.Limit(req.GetLimit(), view.MaxPage))
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListWorkersResponse{}
	for _, w := range workers {
		resp.Workers = append(resp.Workers, view.Worker(w))
	}
	return resp, nil
}
