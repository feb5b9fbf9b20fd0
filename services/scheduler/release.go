package scheduler

import (
	"cmp"
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

// returned is wake after builds have come, or come back: whoever polls next sees them.
func (s *Scheduler) returned() {
	s.deck.shuffle()
	s.wake()
}

// restShare of a round's own time passes before the next one: what changes meanwhile shares it, and however many builds wait,
// rounds take at most half of one processor. On an idle farm a round takes a millisecond.
const restShare = 1

// releaseLoop hands out what choose picks, whenever something has changed.
func (s *Scheduler) releaseLoop(ctx context.Context) error {
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "round failed, the next one tries again", "err", err)
		}
		rest := time.NewTimer(restShare * time.Since(began))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
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
	for batch := range slices.Chunk(choose(w), releaseBatch) {
		if err := s.release(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// releaseBatch bounds one transaction: it holds what it releases until it is done.
const releaseBatch = 64

// look reads the world. With no build due or no worker online there is nothing to choose; the first is asked first, since a large
// farm that is idle has many workers to read.
func (s *Scheduler) look(ctx context.Context) (w world, err error) {
	if err := s.recount(ctx, roundEvery); err != nil {
		return w, err
	}
	if due, err := s.store.Pending(ctx, s.now(), 1); err != nil || len(due) == 0 {
		return w, err
	}
	if w.workers, err = s.store.Capacities(ctx); err != nil {
		return w, err
	}
	w.workers = slices.DeleteFunc(w.workers, func(c store.Capacity) bool { return c.Polls }) // nothing is put on offer for them
	if len(w.workers) == 0 {
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

// release puts attempts on offer, in one transaction. Another scheduler may have done so, or a person cancelled: that is no
// error. Locked in one order by all schedulers, so that none waits for the other.
func (s *Scheduler) release(ctx context.Context, batch []store.Build) error {
	bySeq := slices.SortedFunc(slices.Values(batch), func(a, b store.Build) int { return cmp.Compare(a.Seq, b.Seq) })
	return s.store.Update(ctx, func(tx *store.Tx) error {
		for _, b := range bySeq {
			if err := s.releaseOne(ctx, tx, b); err != nil && !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return nil
	})
}

func (s *Scheduler) releaseOne(ctx context.Context, tx *store.Tx, b store.Build) error {
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
}

// queue makes the attempt one that may be claimed.
func (c *change) queue(ctx context.Context) error {
	c.now.QueuedAt = c.at
	return c.tell(ctx, bus.Queued, &eventsv1.BuildQueued{
		BuildId: c.now.ID, Attempt: c.now.Attempt, Pool: c.now.Pool, Platform: string(c.now.Platform), QueuedAtMs: c.at.UnixMilli(),
	})
}
