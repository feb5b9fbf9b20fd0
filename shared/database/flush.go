package database

import (
	"context"
	"fmt"
	"sync"
)

// mark is a point in what this process commits: so many commits with messages, the highest number of which is seq.
type mark struct{ commits, seq int64 }

// emits counts this process's commits with messages and wakes the relay.
type emits struct {
	woken chan struct{}
	mu    sync.Mutex
	now   mark
}

func (e *emits) init() { e.woken = make(chan struct{}, 1) }

func (e *emits) committed(seq int64) {
	e.mu.Lock()
	e.now = mark{commits: e.now.commits + 1, seq: max(e.now.seq, seq)}
	e.mu.Unlock()
	e.wake()
}

func (e *emits) wake() {
	select {
	case e.woken <- struct{}{}:
	default: // it will look anyway
	}
}

func (e *emits) mark() mark {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// flushes are the calls of Flush that wait. A look into the outbox settles those that it covers: it began after their
// commits, and published every message that it saw up to seq.
type flushes struct {
	mu      sync.Mutex
	reached mark
	waiting map[chan struct{}]mark
}

func (f *flushes) add(m mark) chan struct{} {
	done := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reached.covers(m) {
		close(done)
		return done
	}
	if f.waiting == nil {
		f.waiting = map[chan struct{}]mark{}
	}
	f.waiting[done] = m
	return done
}

func (f *flushes) forget(done chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, done)
}

func (f *flushes) settle(reached mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached = reached
	for done, m := range f.waiting {
		if reached.covers(m) {
			close(done)
			delete(f.waiting, done)
		}
	}
}

func (f *flushes) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting) > 0
}

func (m mark) covers(other mark) bool { return other.commits <= m.commits && other.seq <= m.seq }

// Flush waits until what this process's transactions committed before the call is published, by this relay or by the one
// that is active in another process. It ends with ctx, and never without a running relay if something is to be published.
func (r *Relay) Flush(ctx context.Context) error {
	done := r.flushes.add(r.db.emits.mark())
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		r.flushes.forget(done)
		return fmt.Errorf("flush the outbox: %w", context.Cause(ctx))
	}
}
