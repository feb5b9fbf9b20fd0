package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// claimTries: an unanswered claim may have been heard, so it is asked again before the hand-out goes back.
	claimTries = 3
	// notForUs is how long a hand-out that this worker may not take keeps away from it.
	notForUs = 2 * time.Second
	// laterOn follows a scheduler that does not answer.
	laterOn = time.Second
)

// claim asks for the lease that a hand-out invites to, and runs the build. The hand-out is acknowledged when the lease is
// ours, or the build needs nobody any more.
func (w *Worker) claim(ctx context.Context, m *nats.Msg) {
	var h schedulerv1.HandOut
	if err := bus.Decode(m.Data, &h); err != nil || !build.ValidID(h.GetBuildId()) {
		w.log.ErrorContext(ctx, "a hand-out cannot be read", "subject", m.Subject, "err", err)
		_ = m.Term()
		return
	}
	l := lease{h.GetBuildId(), h.GetAttempt()}
	resp, err := w.askClaim(ctx, m, l)
	switch {
	case err == nil:
		// Unheard, it is offered again and refused as taken: harmless.
		_ = m.Ack()
		w.execute(ctx, l, resp)
	case gone(err):
		w.log.DebugContext(ctx, "hand-out is past", "build_id", l.build, "attempt", l.attempt, "err", err)
		_ = m.Ack()
	case errors.Is(err, build.ErrNoSlot), errors.Is(err, build.ErrNotEligible):
		w.log.InfoContext(ctx, "hand-out is not for this worker", "build_id", l.build, "attempt", l.attempt, "err", err)
		_ = m.NakWithDelay(notForUs)
		w.askSync()
	default:
		w.log.WarnContext(ctx, "hand-out returned", "build_id", l.build, "attempt", l.attempt, "err", err)
		_ = m.NakWithDelay(laterOn)
		w.askSync()
	}
}

func (w *Worker) askClaim(ctx context.Context, m *nats.Msg, l lease) (*schedulerv1.ClaimResponse, error) {
	for try := 1; ; try++ {
		resp, err := w.scheduler().Claim(ctx, &schedulerv1.ClaimRequest{
			WorkerId: w.link.get().id, BuildId: l.build, Attempt: l.attempt,
		})
		if !errors.Is(err, build.ErrUnavailable) || try == claimTries || ctx.Err() != nil {
			return resp, err
		}
		_ = m.InProgress()
	}
}
