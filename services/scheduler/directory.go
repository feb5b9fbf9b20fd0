package scheduler

import (
	"context"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// WithdrawWorker forgets a worker that says goodbye. What it holds goes back to the queue, uncounted. Its next word is
// build.ErrWorkerUnknown.
func (s *Scheduler) WithdrawWorker(
	ctx context.Context, r *schedulerv1.WithdrawWorkerRequest,
) (*schedulerv1.WithdrawWorkerResponse, error) {
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, r.GetWorkerId())
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
			if _, err := s.handBack(ctx, tx, b, "the worker was stopped"); err != nil {
				return err
			}
		}
		return tx.DeleteWorker(ctx, w.ID)
	})
	if err != nil {
		return nil, err
	}
	s.returned()
	return &schedulerv1.WithdrawWorkerResponse{}, nil
}

// GetWorker returns a worker and what became of its attempts.
func (s *Scheduler) GetWorker(ctx context.Context, r *schedulerv1.GetWorkerRequest) (*schedulerv1.GetWorkerResponse, error) {
	w, err := s.store.Worker(ctx, r.GetWorkerId())
	if err != nil {
		return nil, err
	}
	held, err := s.store.Held(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	completed, failed, err := s.store.Ended(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	return &schedulerv1.GetWorkerResponse{
		Worker:    viewWorker(store.Capacity{Worker: w, Held: int32(len(held))}), // a handful
		Completed: completed, Failed: failed,
	}, nil
}

// ListWorkers gives workers, those online first.
func (s *Scheduler) ListWorkers(ctx context.Context, r *schedulerv1.ListWorkersRequest) (*schedulerv1.ListWorkersResponse, error) {
	limit := r.GetLimit()
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	workers, err := s.store.Workers(ctx, limit)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListWorkersResponse{}
	for _, w := range workers {
		resp.Workers = append(resp.Workers, viewWorker(w))
	}
	return resp, nil
}

func viewWorker(w store.Capacity) *schedulerv1.Worker {
	v := &schedulerv1.Worker{
		Id: w.ID, Name: w.Name, Pool: w.Pool, Slots: w.Slots, Held: w.Held, Online: w.Online, Draining: w.Draining, Polls: w.Polls,
		Version: w.Version, Labels: w.Labels, RegisteredAtMs: ms(w.RegisteredAt), SeenAtMs: ms(w.SeenAt),
	}
	for _, p := range w.Platforms {
		v.Platforms = append(v.Platforms, string(p))
	}
	return v
}

// Stats returns the figures of the whole farm.
func (s *Scheduler) Stats(ctx context.Context, r *schedulerv1.StatsRequest) (*schedulerv1.StatsResponse, error) {
	since := s.now().Truncate(24 * time.Hour) // midnight, as the clock is UTC
	if r.GetWithoutToday() {
		since = since.AddDate(100, 0, 0) // none: the one figure that would be counted build by build
	}
	f, err := s.store.Figures(ctx, since)
	if err != nil {
		return nil, err
	}
	return &schedulerv1.StatsResponse{
		WorkersOnline: f.Online, Waiting: f.Waiting, Active: f.Leased, CompletedToday: f.CompletedSince, Ended: f.Ended,
		BuildMs: f.BuildTime.Milliseconds(),
	}, nil
}
