package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// maxOffers bounds the offers that wait for a slot.
	maxOffers = 64
	// maxOfferValid bounds how long an offer may hold the next slot.
	maxOfferValid = time.Minute
)

// offers are those of the scheduler that wait for a slot of this worker, each until its time is over.
type offers struct {
	mu   sync.Mutex
	open map[farm.Lease]*time.Timer
}

// begin returns a context that ends with the offer. ok is false for a repeat, which prolongs the first one, and beyond maxOffers.
func (o *offers) begin(ctx context.Context, l farm.Lease, valid time.Duration) (_ context.Context, end func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if timer := o.open[l]; timer != nil {
		timer.Reset(valid)
		return nil, nil, false
	}
	if len(o.open) >= maxOffers {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(valid, cancel)
	if o.open == nil {
		o.open = map[farm.Lease]*time.Timer{}
	}
	o.open[l] = timer
	return ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		timer.Stop()
		cancel()
		delete(o.open, l)
	}, true
}

// receiveOffer claims what the scheduler offers to this worker alone, with its next free slot, which comes before pulls. What is not
// claimed in time the scheduler offers elsewhere, so nothing is said about an offer that the worker does not want.
func (w *Worker) receiveOffer(intake, life context.Context, offer *eventsv1.Offer) {
	select {
	case <-w.synced: // claims before it could count as forgotten ones
	default:
		return
	}
	l := farm.Lease{BuildID: offer.GetBuildId(), Attempt: offer.GetAttempt()}
	valid := min(time.Duration(offer.GetValidMs())*time.Millisecond, maxOfferValid)
	if !build.ValidID(l.BuildID) || valid <= 0 || w.draining.Load() {
		return
	}
	ctx, end, ok := w.offers.begin(intake, l, valid)
	if !ok {
		return
	}
	go func() { // ends with the offer; with a slot, Slots.Close waits for it
		acquired := w.slots.Acquire(ctx)
		end()
		if !acquired {
			return
		}
		defer w.slots.Release()
		w.claimOffered(life, l)
	}()
}

func (w *Worker) claimOffered(ctx context.Context, l farm.Lease) {
	resp, err := w.requestClaim(ctx, l, true, func() {})
	if err == nil {
		w.builds.Run(ctx, l, resp)
		return
	}
	w.log.InfoContext(ctx, "offer not claimed", "build_id", l.BuildID, "attempt", l.Attempt, "err", err)
	if !farm.IsNotHeld(err) || errors.Is(err, build.ErrUnavailable) {
		w.requestSync() // the claim may have been granted, or the scheduler expects another number of slots
	}
}
