package transition

import (
	"context"
	"fmt"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// maxBackoff bounds the wait before another attempt.
const maxBackoff = 5 * time.Minute

// Complete ends a build with its result.
func (m *Machine) Complete(ctx context.Context, tx *store.Tx, b store.Build, result *eventsv1.ObjectRef) (store.Build, error) {
	return m.step(ctx, tx, b, build.Complete, func(c *Change) error {
		c.now.Result, c.now.FinishedAt = result, c.at
		if err := tx.SaveAttempt(ctx, c.now, store.Completed, c.at.UnixMilli(), ""); err != nil {
			return err
		}
		if err := c.Emit(ctx, bus.Completed, &eventsv1.BuildCompleted{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: b.WorkerID, Result: result, FinishedAtMs: c.at.UnixMilli(), Life: life(b),
		}); err != nil {
			return err
		}
		return c.Log(ctx, "info", "Build completed successfully")
	})
}

// Fail ends a build by a fault of its own.
func (m *Machine) Fail(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	return m.fail(ctx, tx, b, build.Fail, store.Failed, why)
}

func (m *Machine) fail(
	ctx context.Context, tx *store.Tx, b store.Build, cmd build.Command, o store.Outcome, why string,
) (store.Build, error) {
	return m.step(ctx, tx, b, cmd, func(c *Change) error {
		c.now.Error, c.now.FinishedAt = why, c.at
		if err := tx.SaveAttempt(ctx, c.now, o, c.at.UnixMilli(), why); err != nil {
			return err
		}
		if err := c.Emit(ctx, bus.Failed, &eventsv1.BuildFailed{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: b.WorkerID, Error: why, FinishedAtMs: c.at.UnixMilli(), Life: life(b),
		}); err != nil {
			return err
		}
		return c.Log(ctx, "error", why)
	})
}

// Cancel ends a build that nobody wants any more.
func (m *Machine) Cancel(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	return m.step(ctx, tx, b, build.Cancel, func(c *Change) error {
		c.now.Error, c.now.FinishedAt = why, c.at
		if b.State.Leased() {
			if err := tx.SaveAttempt(ctx, c.now, store.Cancelled, c.at.UnixMilli(), why); err != nil {
				return err
			}
		}
		if err := c.Emit(ctx, bus.Cancelled, &eventsv1.BuildCancelled{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: b.WorkerID, FinishedAtMs: c.at.UnixMilli(), Life: life(b),
		}); err != nil {
			return err
		}
		return c.Log(ctx, "info", "Build cancelled")
	})
}

// Lose ends an attempt that the infrastructure lost. The build goes to another worker, or fails if its attempts are used up.
func (m *Machine) Lose(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	if b.Lost+1 >= m.MaxAttempts {
		text := fmt.Sprintf("Build failed: %d attempts were lost, the last because %s", b.Lost+1, why)
		return m.fail(ctx, tx, b, build.Exhaust, store.Lost, text)
	}
	return m.step(ctx, tx, b, build.Lose, func(c *Change) error {
		wait := min(m.Backoff<<b.Lost, maxBackoff)
		c.now.Lost++
		return c.again(ctx, tx, store.Lost, wait, why)
	})
}

// Return takes an unharmed attempt back from its worker. It does not count as lost, and the next one may go out at once.
func (m *Machine) Return(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	return m.step(ctx, tx, b, build.HandBack, func(c *Change) error { return c.again(ctx, tx, store.HandedBack, 0, why) })
}

// again ends the current attempt and prepares the next.
func (c *Change) again(ctx context.Context, tx *store.Tx, o store.Outcome, wait time.Duration, why string) error {
	if err := tx.SaveAttempt(ctx, c.was, o, c.at.UnixMilli(), why); err != nil {
		return err
	}
	c.now.Attempt++
	c.now.WorkerID, c.now.Stage, c.now.StageAt = "", "", time.Time{}
	c.now.QueuedAt, c.now.AssignedAt, c.now.StartedAt = time.Time{}, time.Time{}, time.Time{}
	c.now.OfferedAt, c.now.Offers = time.Time{}, 0
	c.now.NotBefore = c.at.Add(wait)
	if err := c.Emit(ctx, bus.Retried, &eventsv1.BuildRetried{
		BuildId: c.now.ID, LostAttempt: c.was.Attempt, NextAttempt: c.now.Attempt, WorkerId: c.was.WorkerID, Reason: why,
		AtMs: c.at.UnixMilli(), Project: c.was.Project, AssignedAtMs: store.Millis(c.was.AssignedAt),
	}); err != nil {
		return err
	}
	return c.Log(ctx, "warn", fmt.Sprintf("Attempt %d ended early: %s. Another worker will try again.", c.was.Attempt, why))
}
