// Package backoff waits: between tries, between the rounds of a loop, and for a wake-up.
package backoff

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Sleep waits for d. It returns the cause if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Retries are the waits between tries. They grow from First: each is twice the one before, up to Most, and half of it more or less, so that
// callers that failed together do not return together. It is not safe for concurrent use.
type Retries struct {
	First, Most time.Duration

	next *backoff.ExponentialBackOff
}

// Next returns the next wait.
func (r *Retries) Next() time.Duration {
	if r.next == nil {
		r.next = backoff.NewExponentialBackOff()
		r.next.InitialInterval, r.next.MaxInterval, r.next.Multiplier = r.First, r.Most, 2
		r.next.Reset()
	}
	return r.next.NextBackOff()
}

// Reset begins again with First.
func (r *Retries) Reset() { r.next = nil }

// Sleep waits before the next try. It returns the cause if ctx ends first.
func (r *Retries) Sleep(ctx context.Context) error { return Sleep(ctx, r.Next()) }

// Waker wakes one loop. Make it with NewWaker; it is safe for concurrent use.
type Waker struct{ c chan struct{} }

// NewWaker returns a waker that nobody has called.
func NewWaker() Waker { return Waker{make(chan struct{}, 1)} }

// Wake has the loop run soon. Any number of calls while it runs make one more round.
func (w Waker) Wake() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// C receives after Wake.
func (w Waker) C() <-chan struct{} { return w.c }

// Loop runs rounds of work.
type Loop struct {
	// Doing says in the log what failed: "sweep sessions".
	Doing string
	// Every is the time between two rounds. Wake has one run sooner; nil: nothing does.
	Every time.Duration
	Wake  <-chan struct{}
	// AtOnce has the first round run at once, not after Every.
	AtOnce bool
	Log    *slog.Logger
}

// Run runs rounds until ctx ends, and returns nil then. A round that fails is logged as a warning; the next one tries again.
func (l Loop) Run(ctx context.Context, round func(context.Context) error) error {
	tick := time.NewTicker(l.Every)
	defer tick.Stop()
	for first := true; ; first = false {
		if !first || !l.AtOnce {
			select {
			case <-ctx.Done():
				return nil
			case <-l.Wake:
			case <-tick.C:
			}
		}
		if err := round(ctx); err != nil && ctx.Err() == nil {
			l.Log.WarnContext(ctx, "round failed; the next one tries again", "doing", l.Doing, "err", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}
