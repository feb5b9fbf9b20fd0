package attempt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/report"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/transfer"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// isBuildsFault reports whether another worker would fail for the same reason.
func isBuildsFault(err error) bool {
	for _, e := range []error{
		pipeline.ErrProject, transfer.ErrResult, transfer.ErrSource, transfer.ErrRepackSource, build.ErrTooLarge,
		archive.ErrNotArchive, archive.ErrEmpty, archive.ErrUnsafe, archive.ErrTooLarge, archive.ErrCorrupt,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var stage *stageError
	return errors.As(err, &stage) && !stage.cause.Elsewhere
}

// outcome returns how the work ended. The cause of its context comes before the error that the work made of it.
func (a *attempt) outcome(ctx context.Context, resultID string, err error) *schedulerv1.FinishRequest {
	cause := context.Cause(ctx)
	var refused *farm.RefusedError
	switch {
	case err == nil:
		completed := a.newOutcome(schedulerv1.FinishRequest_OUTCOME_COMPLETED, "")
		completed.ResultObjectId, completed.Made = resultID, a.made
		a.made.Repackable = a.plan.Repackable && a.repackFrom == nil
		return completed
	case errors.Is(cause, errTimedOut):
		return a.newOutcome(schedulerv1.FinishRequest_OUTCOME_FAILED, "timed out after "+formatDuration(a.timeout))
	case errors.Is(cause, ErrReleased):
		return a.newOutcome(schedulerv1.FinishRequest_OUTCOME_HANDED_BACK, ErrReleased.Error())
	case errors.As(cause, &refused):
		return a.newOutcome(schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE, refused.Error())
	case isBuildsFault(err):
		return a.newOutcome(schedulerv1.FinishRequest_OUTCOME_FAILED, err.Error())
	}
	return a.newOutcome(schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE, err.Error())
}

func (a *attempt) newOutcome(outcome schedulerv1.FinishRequest_Outcome, reason string) *schedulerv1.FinishRequest {
	return report.NewOutcome(a.workerID, a.lease, outcome, a.mask.Text(reason))
}

// logOutcome writes the reason as the attempt's last line.
func (a *attempt) logOutcome(ctx context.Context, outcome *schedulerv1.FinishRequest) {
	if outcome.GetError() == "" {
		return
	}
	level := "error"
	if outcome.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_HANDED_BACK {
		level = "warn"
	}
	a.logLine(ctx, level, outcome.GetError())
}

// formatDuration returns 2h and 90s instead of 2h0m0s and 1m30s.
func formatDuration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= u.unit && d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return d.String()
}
