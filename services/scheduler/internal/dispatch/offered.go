package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Tagged returns a build with the tags of fair queueing that it has if it is dispatched now.
func (d *Dispatcher) Tagged(ctx context.Context, b store.Build) (store.Build, error) {
	if b.VFinish != 0 { // a later attempt was paid for by the first
		return b, nil
	}
	virtual, err := d.machine.Store.VirtualTime(ctx, b.Lane())
	if err != nil {
		return b, err
	}
	finish, err := d.machine.Store.FinishTag(ctx, b.Lane(), b.Project)
	if err != nil {
		return b, err
	}
	d.estimates.prepare(ctx, []store.Build{b})
	return d.rules.Order().Tag(b, virtual, finish, d.estimates.cost(b)), nil
}

// Claimed notes that a worker has claimed a build.
func (d *Dispatcher) Claimed(b store.Build) {
	d.offers.forget(b)
	d.offers.recent.built(b)
}

// ReleaseOffered makes a pending build claimable that was offered to a worker, with the tags of Tagged, in the transaction of its claim. If the
// claim is refused after all, the build stays pending. It returns build.ErrNotQueued if the build may not run now.
func (d *Dispatcher) ReleaseOffered(ctx context.Context, tx *store.Tx, b, tags store.Build) (store.Build, error) {
	if b.NotBefore.After(d.machine.Now()) {
		return b, fmt.Errorf("%w: attempt %d of %s waits until %s", build.ErrNotQueued, b.Attempt, b.ID, b.NotBefore.Format(time.RFC3339))
	}
	err := d.rules.WithinLimits(ctx, tx, b)
	if errors.Is(err, store.ErrConflict) {
		return b, fmt.Errorf("%w: project %q or pool %q is at its limit of running builds", build.ErrNotQueued, b.Project, b.Pool)
	}
	if err != nil {
		return b, err
	}
	return d.machine.Release(ctx, tx, b, tags)
}
