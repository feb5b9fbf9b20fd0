package transfer

import (
	"context"
	"errors"
	"sync"
)

// errStopping is the cause of the context of a transfer that was cut by a stop.
var errStopping = errors.New("the service stops")

// gate counts the transfers under way and ends them: first by accepting no new ones, then by cancelling.
type gate struct {
	cut    context.Context // ends with the service, not with a call
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	opened bool
	closed bool
	inside int
	empty  chan struct{} // closed when closed and nobody is inside
}

func newGate() *gate {
	cut, cancel := context.WithCancelCause(context.Background())
	return &gate{cut: cut, cancel: cancel, empty: make(chan struct{})}
}

// enter returns the context of a transfer, which ends with ctx or when the service stops; false if the gate is not open. Call
// leave at the end.
func (g *gate) enter(ctx context.Context) (_ context.Context, leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.opened || g.closed {
		return nil, nil, false
	}
	g.inside++
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(g.cut, func() { cancel(errStopping) })
	return ctx, func() {
		detach()
		cancel(context.Canceled)
		g.leave()
	}, true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.signal()
}

func (g *gate) signal() {
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// drain closes the gate and waits until all have left. When ctx ends it cuts the rest, waits for them to clean up and returns how
// many they were. Call it once.
func (g *gate) drain(ctx context.Context) (cut int) {
	g.mu.Lock()
	g.closed = true
	g.signal()
	g.mu.Unlock()
	select {
	case <-g.empty:
	case <-ctx.Done():
		g.mu.Lock()
		cut = g.inside
		g.mu.Unlock()
	}
	g.cancel(errStopping)
	<-g.empty
	return cut
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = true
}

// check returns why enter would refuse, nil if it would not.
func (g *gate) check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return errors.New("stopping")
	case !g.opened:
		return errors.New("starting")
	}
	return nil
}
