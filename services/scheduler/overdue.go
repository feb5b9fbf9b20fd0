package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Workers enforce the build timeout themselves; the scheduler steps in when one does not, this much later.
const overdueGrace = time.Minute

// overdue fails builds that outlive their timeout.
type overdue struct {
	*Scheduler

	// since is when workers could report without a break; reconnects are those of the bus until then.
	since      time.Time
	reconnects uint64
}

// run judges until ctx ends. A worker whose build ended in time may have been unable to report it while this process was down or paused,
// or while the bus was away. So after each of these it waits for the grace first.
func (o *overdue) run(ctx context.Context) error {
	o.since = o.now()
	loop := backoff.Loop{Doing: "end overdue builds", Every: min(30*time.Second, o.cfg.BuildTimeout), AtOnce: true, Log: o.log}
	return loop.Run(ctx, func(ctx context.Context) error {
		now := o.now() // before the question: a pause after it is not counted
		if !o.couldReport() {
			return nil
		}
		return o.failOverdue(ctx, now)
	})
}

// couldReport says whether workers could report during the whole grace.
func (o *overdue) couldReport() bool {
	if n := o.nc.Stats().Reconnects; n != o.reconnects || !o.nc.IsConnected() {
		o.since, o.reconnects = o.now(), n
	}
	if at := o.pauses.Last(); at.After(o.since) {
		o.since = at
	}
	return o.now().Sub(o.since) >= min(overdueGrace, o.cfg.BuildTimeout)
}

func (o *overdue) failOverdue(ctx context.Context, now time.Time) error {
	overdue, err := o.store.Overdue(ctx, now, now.Add(-o.rules.LeastTimeout()-overdueGrace), overdueGrace)
	if err != nil {
		return err
	}
	var errs []error // one build that cannot be ended does not keep the others
	for _, old := range overdue {
		if now.Sub(old.AssignedAt) < o.rules.Timeout(old)+overdueGrace {
			continue
		}
		holder := old.WorkerID
		b, err := o.machine.Update(ctx, old.ID, func(tx *store.Tx, b store.Build) (store.Build, error) {
			if !b.HeldBy(old.WorkerID, old.Attempt) {
				return b, transition.LeaseLost(b, old.Attempt)
			}
			return o.machine.Fail(ctx, tx, b, fmt.Sprintf("Build timed out after %s", o.rules.Timeout(b)))
		})
		if errors.Is(err, build.ErrLeaseLost) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("build %s: %w", old.ID, err))
			continue
		}
		o.stopWorker(ctx, holder, b, "the build timed out")
	}
	return errors.Join(errs...)
}
