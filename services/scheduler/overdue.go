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

// overdueLoop fails builds that outlive their timeout.
func (s *Scheduler) overdueLoop(ctx context.Context) error {
	tick := time.NewTicker(min(30*time.Second, s.cfg.BuildTimeout))
	defer tick.Stop()
	for {
		if err := s.failOverdue(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "overdue builds not ended, the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Scheduler) failOverdue(ctx context.Context) error {
	now := s.now()
	least := s.timeouts.least(s.cfg.BuildTimeout, func(t store.Timeouts) time.Duration { return t.Build })
	overdue, err := s.store.Overdue(ctx, now, now.Add(-least-overdueGrace), overdueGrace)
	if err != nil {
		return err
	}
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
			return err
		}
		s.order(ctx, holder, b, "the build timed out")
	}
	return nil
}
