package report

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// maxError bounds the text of an outcome, in bytes: the scheduler stores no more.
const maxError = 4096

// NewOutcome returns how an attempt ended, with the reason unless it is completed.
func NewOutcome(workerID string, l farm.Lease, outcome schedulerv1.FinishRequest_Outcome, reason string) *schedulerv1.FinishRequest {
	return &schedulerv1.FinishRequest{
		WorkerId: workerID, BuildId: l.BuildID, Attempt: l.Attempt, Outcome: outcome, Error: text.Shorten(reason, maxError),
	}
}

const (
	minOutcomeRetry = 200 * time.Millisecond
	maxOutcomeRetry = 5 * time.Second
)

// Outcome reports how an attempt ended, until it is answered. It returns the scheduler's refusal, or the cause of ctx if that ends first.
func Outcome(ctx context.Context, c *farm.Client, outcome *schedulerv1.FinishRequest, log *slog.Logger) error {
	var refusals farm.Refusals
	for retries := (backoff.Retries{First: minOutcomeRetry, Most: maxOutcomeRetry}); ; {
		_, err := c.Scheduler().Finish(ctx, outcome)
		switch {
		case err == nil:
			return nil
		case farm.IsNotHeld(err):
			return err
		case refusals.Final(err):
			if outcome.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE {
				return &farm.RefusedError{What: "outcome", Err: err}
			}
			log.WarnContext(ctx, "outcome refused", "outcome", outcome.GetOutcome(), "err", err)
			outcome, refusals = afterRefusal(outcome, err), 0
			retries.Reset()
			continue
		}
		log.WarnContext(ctx, "outcome not reported yet", "err", err)
		if err := retries.Sleep(ctx); err != nil {
			return err
		}
	}
}

// afterRefusal returns the infrastructure failure to report in place of a refused outcome.
func afterRefusal(refused *schedulerv1.FinishRequest, err error) *schedulerv1.FinishRequest {
	what := "outcome"
	if refused.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_COMPLETED {
		what = "result" // another attempt must make it again
	}
	instead := proto.CloneOf(refused)
	instead.Outcome, instead.ResultObjectId, instead.Artifacts = schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE, "", nil
	instead.Error = text.Shorten((&farm.RefusedError{What: what, Err: err}).Error(), maxError)
	return instead
}
