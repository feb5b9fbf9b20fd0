package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// claimTries: an unanswered claim may have been received, so it is repeated before the hand-out goes back.
	claimTries = 3
	// notEligibleDelay delays a hand-out that this worker may not claim.
	notEligibleDelay = 2 * time.Second
	// unclaimedDelay delays a hand-out after a claim without an answer.
	unclaimedDelay = time.Second
)

// claim claims the build of a hand-out and runs it. The hand-out is acknowledged when the claim is granted, or the build needs no worker
// any more; otherwise it goes back to the queue.
func (w *Worker) claim(ctx context.Context, m *nats.Msg) {
	var h schedulerv1.HandOut
	if err := bus.Decode(m.Data, &h); err != nil || !build.ValidID(h.GetBuildId()) {
		w.log.ErrorContext(ctx, "unreadable hand-out", "subject", m.Subject, "err", err)
		_ = m.Term()
		return
	}
	l := farm.Lease{BuildID: h.GetBuildId(), Attempt: h.GetAttempt()}
	resp, err := w.requestClaim(ctx, l, false, func() { _ = m.InProgress() })
	switch {
	case err == nil:
		// If this is lost, the hand-out comes again and the claim is refused as taken.
		_ = m.Ack()
		w.builds.Run(ctx, l, resp)
	case farm.IsNotHeld(err):
		w.log.DebugContext(ctx, "hand-out is obsolete", "build_id", l.BuildID, "attempt", l.Attempt, "err", err)
		_ = m.Ack()
	case errors.Is(err, build.ErrNoSlot), errors.Is(err, build.ErrNotEligible):
		w.log.InfoContext(ctx, "not eligible for hand-out", "build_id", l.BuildID, "attempt", l.Attempt, "err", err)
		_ = m.NakWithDelay(notEligibleDelay)
		w.requestSync()
	default:
		w.log.WarnContext(ctx, "claim failed; hand-out returned", "build_id", l.BuildID, "attempt", l.Attempt, "err", err)
		_ = m.NakWithDelay(unclaimedDelay)
		w.requestSync()
	}
}

// requestClaim claims an attempt that was handed out, or offered to this worker alone. repeats is called before each repeat.
func (w *Worker) requestClaim(ctx context.Context, l farm.Lease, offered bool, repeats func()) (*schedulerv1.ClaimResponse, error) {
	for try := 1; ; try++ {
		resp, err := w.farm.Scheduler().Claim(ctx, &schedulerv1.ClaimRequest{
			WorkerId: w.farm.Conn().WorkerID, BuildId: l.BuildID, Attempt: l.Attempt, Offered: offered,
		})
		if !errors.Is(err, build.ErrUnavailable) || try == claimTries || ctx.Err() != nil {
			return resp, err
		}
		repeats()
	}
}
