package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Workers enforce the build timeout themselves; the scheduler steps in when one does not, this much later.
const overdueGrace = time.Minute

// overdueLoop fails builds that outlive their timeout. A worker whose build ended in time may have been
// unable to report it: while this process was down or paused, or while the bus was away. So after each
// of these the loop waits for the grace before it judges.
func (s *Scheduler) overdueLoop(ctx context.Context) error {
	tick := time.NewTicker(min(30*time.Second, s.cfg.BuildTimeout))
	defer tick.Stop()
	reach := reachable{since: s.now()}
	for {
		now := s.now() // before the question: a pause after it is not counted
		if s.couldReport(&reach) {
			if err := s.failOverdue(ctx, now); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "overdue builds not ended, the next round tries again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reachable is since when workers could report without a break, and the reconnections of the bus until
// then.
type reachable struct {
	since      time.Time
	reconnects uint64
}

// couldReport says whether workers could report during the whole grace.
func (s *Scheduler) couldReport(r *reachable) bool {
	if n := s.nc.Stats().Reconnects; n != r.reconnects || !s.nc.IsConnected() {
		r.since, r.reconnects = s.now(), n
	}
	if at := s.pauses.Last(); at.After(r.since) {
		r.since = at
	}
	return s.now().Sub(r.since) >= min(overdueGrace, s.cfg.BuildTimeout)
}

func (s *Scheduler) failOverdue(ctx context.Context, now time.Time) error {
	least := s.timeouts.least(s.cfg.BuildTimeout, func(t store.Timeouts) time.Duration { return t.Build })
	overdue, err := s.store.Overdue(ctx, now, now.Add(-least-overdueGrace), overdueGrace)
	if err != nil {
		return err
	}
	var errs []error // one build that cannot be ended does not keep the others
	for _, old := range overdue {
		if now.Sub(old.AssignedAt) < s.timeout(old)+overdueGrace {
			continue
		}
		holder := old.WorkerID
		b, err := s.update(ctx, old.ID, func(tx *store.Tx, b store.Build) (store.Build, error) {
			if !b.HeldBy(old.WorkerID, old.Attempt) {
				return b, leaseLost(b, old.Attempt)
			}
			return s.fail(ctx, tx, b, build.Fail, store.Failed, fmt.Sprintf("Build timed out after %s", s.timeout(b)))
		})
		if errors.Is(err, build.ErrLeaseLost) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("build %s: %w", old.ID, err))
			continue
		}
		s.order(ctx, holder, b, "the build timed out")
	}
	return errors.Join(errs...)
}
