package scheduler

import (
	"context"
	"errors"
	"slices"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// roundEvery is the safety net under the wake-up signal: it also brings back builds whose back-off has passed.
const roundEvery = time.Second

// wake asks for a round soon. Send or skip: one waiting signal stands for any number of changes.
func (s *Scheduler) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// releaseLoop hands out what choose picks, whenever something has changed.
func (s *Scheduler) releaseLoop(ctx context.Context) error {
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "round failed, the next one tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		case <-tick.C:
		}
	}
}

func (s *Scheduler) round(ctx context.Context) error {
	w, err := s.look(ctx)
	if err != nil {
		return err
	}
	for _, b := range choose(w) {
		if err := s.release(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// look reads the world. With no worker online there is nothing to choose.
func (s *Scheduler) look(ctx context.Context) (w world, err error) {
	waiting, _, err := s.store.Summary(ctx)
	if err != nil {
		return w, err
	}
	s.waiting.Store(waiting)
	if w.workers, err = s.store.Capacities(ctx); err != nil {
		return w, err
	}
	w.workers = slices.DeleteFunc(w.workers, func(c store.Capacity) bool { return c.Polls }) // nothing is put on offer for them
	if len(w.workers) == 0 || waiting == 0 {
		return w, nil
	}
	if w.queued, err = s.store.QueuedByLane(ctx); err != nil {
		return w, err
	}
	if w.live, err = s.store.Live(ctx); err != nil {
		return w, err
	}
	room := 0
	for _, c := range w.workers {
		room += int(c.Slots)
	}
	w.pending, err = s.store.Pending(ctx, s.now(), 2*room+1)
	return w, err
}

// release puts one attempt on offer. Another scheduler may have done so, or a person cancelled: that is no error.
func (s *Scheduler) release(ctx context.Context, b store.Build) error {
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Build(ctx, b.ID)
		if err != nil {
			return err
		}
		if fresh.State != build.Pending || fresh.Attempt != b.Attempt {
			return store.ErrConflict
		}
		_, err = s.step(ctx, tx, fresh, build.Release, func(c *change) error {
			invitation, err := handOut(ctx, c.now, c.at)
			if err != nil {
				return err
			}
			c.facts = append(c.facts, invitation)
			return c.queue(ctx)
		})
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// queue makes the attempt one that may be claimed.
func (c *change) queue(ctx context.Context) error {
	c.now.QueuedAt = c.at
	return c.tell(ctx, bus.Queued, &eventsv1.BuildQueued{
		BuildId: c.now.ID, Attempt: c.now.Attempt, Pool: c.now.Pool, Platform: string(c.now.Platform), QueuedAtMs: c.at.UnixMilli(),
	})
}
