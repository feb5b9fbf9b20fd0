package submit

import (
	"context"
	"errors"
	"fmt"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
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
func (v *Service) rollBackLoop(ctx context.Context) error {
	return backoff.Loop{Doing: "roll back unacknowledged builds", Every: max(v.cfg.RepeatWindow/8, time.Millisecond), Log: v.Log}.Run(ctx, v.rollBackOverdue)
}

func (v *Service) rollBackOverdue(ctx context.Context) error {
	ids, err := v.Store.Overdue(ctx, time.Now().Add(-v.cfg.RepeatWindow), maxRollBack)
	if err != nil {
		return err
	}
	var faults []error
	for _, id := range ids {
		err := v.rollBack(ctx, id)
		faults = append(faults, err)
		if errors.Is(err, build.ErrUnavailable) || ctx.Err() != nil {
			break // the others would wait as long for nothing
		}
	}
	return errors.Join(faults...)
}

// rollBack cancels a build that has not begun. One that has is left to its end: somebody may find it useful in the list.
func (v *Service) rollBack(ctx context.Context, id string) error {
	b, err := v.Farm.Build(ctx, id)
	if err != nil && !errors.Is(err, build.ErrNotFound) {
		return err
	}
	if build.State(b.GetState()).Waiting() {
		_, err := v.Farm.Scheduler.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id, Reason: whyRolledBack})
		if err != nil && !errors.Is(err, build.ErrFinished) {
			return fmt.Errorf("roll build %s back: %w", id, err)
		}
		v.Log.InfoContext(ctx, "build rolled back: its submitter does not know it", "build_id", id)
	}
	return v.Store.ForgetUnanswered(ctx, id)
}
