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
	// maxRollBack bounds the builds of one round.
	maxRollBack = 100
	// rollBackReason is the build's error.
	rollBackReason = "The submitter left before the answer could be written, and did not send it again"
)

// rollBackLoop cancels unanswered builds whose submitters did not repeat the submit, until ctx
// ends. Every replica may do so.
func (u *Unanswered) rollBackLoop(ctx context.Context) error {
	loop := backoff.Loop{Doing: "roll back unanswered submits", Every: max(u.window/8, time.Millisecond), Log: u.log}
	return loop.Run(ctx, u.rollBackOverdue)
}

func (u *Unanswered) rollBackOverdue(ctx context.Context) error {
	ids, err := u.store.TakeOverdue(ctx, time.Now().Add(-u.window), maxRollBack)
	if err != nil {
		return err
	}
	var faults []error
	for _, id := range ids {
		err := u.rollBack(ctx, id)
		faults = append(faults, err)
		if errors.Is(err, build.ErrUnavailable) || ctx.Err() != nil {
			break // the others would fail too
		}
	}
	return errors.Join(faults...)
}

// rollBack cancels a waiting build. A running build continues, since somebody may find it in the
// list.
func (u *Unanswered) rollBack(ctx context.Context, id string) error {
	b, err := u.farm.Build(ctx, id)
	if err != nil && !errors.Is(err, build.ErrNotFound) {
		return err
	}
	if build.State(b.GetState()).Waiting() {
		_, err := u.farm.Scheduler.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id, Reason: rollBackReason})
		if err != nil && !errors.Is(err, build.ErrFinished) {
			return fmt.Errorf("roll build %s back: %w", id, err)
		}
		u.log.InfoContext(ctx, "rolled back unacknowledged build", "build_id", id)
	}
	return u.store.ForgetUnanswered(ctx, id)
}
