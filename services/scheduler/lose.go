package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// maxBackoff bounds the wait before another attempt.
const maxBackoff = 5 * time.Minute

// loseLease ends an attempt that went silent. A lease that is gone already is no error.
func (s *Scheduler) loseLease(ctx context.Context, buildID string, attempt int32, why string) error {
	b, err := s.update(ctx, buildID, func(tx *store.Tx, b store.Build) (store.Build, error) {
		if !b.State.Leased() || b.Attempt != attempt {
			return b, leaseLost(b, attempt)
		}
		return s.lose(ctx, tx, b, why)
	})
	switch {
	case errors.Is(err, build.ErrLeaseLost), errors.Is(err, build.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	s.log.InfoContext(ctx, "attempt lost", "build_id", b.ID, "attempt", attempt, "state", b.State, "why", why)
	return nil
}

// lose returns the build to another worker, unless its attempts are used up.
func (s *Scheduler) lose(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	if b.Lost+1 >= s.cfg.MaxAttempts {
		text := fmt.Sprintf("Build failed: %d attempts were lost, the last because %s", b.Lost+1, why)
		return s.fail(ctx, tx, b, build.Exhaust, store.Lost, text)
	}
	return s.step(ctx, tx, b, build.Lose, func(c *change) error {
		wait := min(s.cfg.Backoff<<b.Lost, maxBackoff)
		c.now.Lost++
		return c.again(ctx, tx, store.Lost, wait, why)
	})
}

// handBack returns an unharmed attempt: it does not count as lost, and the next one may go out at once.
func (s *Scheduler) handBack(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	return s.step(ctx, tx, b, build.HandBack, func(c *change) error { return c.again(ctx, tx, store.HandedBack, 0, why) })
}

// again ends the current attempt and prepares the next.
func (c *change) again(ctx context.Context, tx *store.Tx, o store.Outcome, wait time.Duration, why string) error {
	if err := tx.SaveAttempt(ctx, c.was, o, c.at.UnixMilli(), why); err != nil {
		return err
	}
	c.now.Attempt++
	c.now.WorkerID, c.now.Stage, c.now.StageAt = "", "", time.Time{}
	c.now.QueuedAt, c.now.AssignedAt, c.now.StartedAt = time.Time{}, time.Time{}, time.Time{}
	c.now.OfferedAt, c.now.Offers = time.Time{}, 0
	c.now.NotBefore = c.at.Add(wait)
	if err := c.tell(ctx, bus.Retried, &eventsv1.BuildRetried{
		BuildId: c.now.ID, LostAttempt: c.was.Attempt, NextAttempt: c.now.Attempt, WorkerId: c.was.WorkerID, Reason: why,
		AtMs: c.at.UnixMilli(), Project: c.was.Project, AssignedAtMs: ms(c.was.AssignedAt),
	}); err != nil {
		return err
	}
	return c.say(ctx, "warn", fmt.Sprintf("Attempt %d ended early: %s. Another worker will try again.", c.was.Attempt, why))
}
