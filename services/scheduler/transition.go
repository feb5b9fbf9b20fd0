package scheduler

import (
	"context"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// change is a build's step in the making: what it was, what it becomes, and what the world is told in the same transaction.
type change struct {
	was, now store.Build
	at       time.Time
	facts    []bus.Message
}

// step takes a build through one row of the transition table inside a transaction: it asks the table, lets edit fill in
// what else changes, and writes build and events as a compare-and-set on what was read. Every arrow of the life goes
// through here; nothing else writes a state.
func (s *Scheduler) step(
	ctx context.Context, tx *store.Tx, b store.Build, cmd build.Command, edit func(*change) error,
) (store.Build, error) {
	next, err := build.Next(b.State, cmd)
	if err != nil {
		return b, err
	}
	c := change{was: b, now: b, at: s.now()}
	c.now.State = next
	if err := edit(&c); err != nil {
		return b, err
	}
	if err := tx.SaveBuild(ctx, c.was, c.now); err != nil {
		return b, err
	}
	return c.now, tx.Emit(ctx, c.facts...)
}

// update runs one transaction over one build and wakes whoever waits for its outcome.
func (s *Scheduler) update(
	ctx context.Context, id string, f func(*store.Tx, store.Build) (store.Build, error),
) (b store.Build, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		read, err := tx.Build(ctx, id)
		if err != nil {
			return err
		}
		b, err = f(tx, read)
		return err
	})
	if err == nil && b.State.Waiting() {
		s.returned()
	} else if err == nil {
		s.wake()
	}
	return b, err
}
