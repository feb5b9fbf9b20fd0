package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// maxRollBack bounds what one round does; the rest comes with the next.
	maxRollBack = 100
	// whyRolledBack is what the build's record says.
	whyRolledBack = "The submitter left before the answer could be written, and did not send it again"
)

// rollBackLoop cancels builds whose submitters were not told of them and did not come back, until ctx ends. Every replica
// may do so.
func (g *Ingest) rollBackLoop(ctx context.Context) error {
	tick := time.NewTicker(max(g.cfg.RepeatWindow/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := g.rollBackOverdue(ctx); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "unanswered submits not rolled back yet", "err", err)
		}
	}
}

func (g *Ingest) rollBackOverdue(ctx context.Context) error {
	ids, err := g.store.Overdue(ctx, time.Now().Add(-g.cfg.RepeatWindow), maxRollBack)
	if err != nil {
		return err
	}
	var faults []error
	for _, id := range ids {
		err := g.rollBack(ctx, id)
		faults = append(faults, err)
		if errors.Is(err, build.ErrUnavailable) || ctx.Err() != nil {
			break // the others would wait as long for nothing
		}
	}
	return errors.Join(faults...)
}

// rollBack cancels a build that has not begun. One that has is left to its end: somebody may find it useful in the list.
func (g *Ingest) rollBack(ctx context.Context, id string) error {
	b, err := g.farm.Build(ctx, id)
	if err != nil && !errors.Is(err, build.ErrNotFound) {
		return err
	}
	if build.State(b.GetState()).Waiting() {
		_, err := g.farm.Scheduler.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id, Reason: whyRolledBack})
		if err != nil && !errors.Is(err, build.ErrFinished) {
			return fmt.Errorf("roll build %s back: %w", id, err)
		}
		g.log.InfoContext(ctx, "build rolled back: its submitter does not know it", "build_id", id)
	}
	return g.store.ForgetUnanswered(ctx, id)
}
