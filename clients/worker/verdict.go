package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// errResult: the stages went well and there is nothing to deliver; the text says what was looked for.
var errResult = errors.New("result")

// ownFault are errors of the build itself: another worker would meet them too.
func ownFault(err error) bool {
	for _, e := range []error{
		pipeline.ErrProject, errResult, errSource, build.ErrTooLarge,
		archive.ErrNotArchive, archive.ErrEmpty, archive.ErrUnsafe, archive.ErrTooLarge, archive.ErrCorrupt,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var stage *stageError
	return errors.As(err, &stage) && !diskFull(stage.line)
}

// diskFull: the command failed for want of this machine's disk.
func diskFull(line string) bool {
	return strings.Contains(line, "ENOSPC") || strings.Contains(strings.ToLower(line), syscall.ENOSPC.Error())
}

// judge turns how the work ended into an outcome. What ended the context counts before what the work made of that.
func (a *attempt) judge(ctx context.Context, resultID string, err error) *schedulerv1.FinishRequest {
	cause := context.Cause(ctx)
	var refused *refusedError
	switch {
	case err == nil:
		v := a.verdict(schedulerv1.FinishRequest_OUTCOME_COMPLETED, "")
		v.ResultObjectId = resultID
		return v
	case errors.Is(cause, errTimedOut):
		return a.verdict(schedulerv1.FinishRequest_OUTCOME_FAILED, "timed out after "+roughly(a.timeout))
	case errors.Is(cause, errHandBack):
		return a.verdict(schedulerv1.FinishRequest_OUTCOME_HANDED_BACK, "the worker stops")
	case errors.As(cause, &refused):
		return a.verdict(schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE, refused.Error())
	case ownFault(err):
		return a.verdict(schedulerv1.FinishRequest_OUTCOME_FAILED, err.Error())
	}
	return a.verdict(schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE, err.Error())
}

// maxVerdict bounds the text of an outcome, in bytes: the scheduler keeps no more.
const maxVerdict = 4096

func (a *attempt) verdict(outcome schedulerv1.FinishRequest_Outcome, why string) *schedulerv1.FinishRequest {
	return &schedulerv1.FinishRequest{
		WorkerId: a.workerID, BuildId: a.lease.build, Attempt: a.lease.attempt, Outcome: outcome, Error: text.Shorten(why, maxVerdict),
	}
}

// conclude writes the outcome as the log's last line.
func (a *attempt) conclude(ctx context.Context, v *schedulerv1.FinishRequest) {
	if v.GetError() == "" {
		return
	}
	level := "error"
	if v.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_HANDED_BACK {
		level = "warn"
	}
	a.say(ctx, level, v.GetError())
}

// roughly gives 2h and 90s instead of 2h0m0s and 1m30s.
func roughly(d time.Duration) string {
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
