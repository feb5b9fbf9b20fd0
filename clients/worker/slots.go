package worker

import (
	"context"
	"sync"
)

// slots counts how many builds may still begin.
type slots struct {
	mu          sync.Mutex
	free, total int
	closed      bool
	// changed is closed and replaced whenever a slot becomes free.
	changed chan struct{}
	// onFull are called when the last slot is taken: pulls that wait must not bring more.
	onFull map[*lane]func()
}

func newSlots(n int) *slots {
	return &slots{free: n, total: n, changed: make(chan struct{}), onFull: map[*lane]func(){}}
}

// await waits for a free slot without taking it; false if ctx ends first.
func (s *slots) await(ctx context.Context) bool {
	return s.until(ctx, func() bool { return s.free > 0 })
}

// take takes a slot if one is free.
func (s *slots) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 || s.closed {
		return false
	}
	if s.free--; s.free == 0 {
		for _, full := range s.onFull {
			full()
		}
	}
	return true
}

// whenFull has f called each time the last slot is taken, and at once if none is free; nil ends that. f must not block.
func (s *slots) whenFull(l *lane, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == nil {
		delete(s.onFull, l)
		return
	}
	s.onFull[l] = f
	if s.free == 0 {
		f()
	}
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	close(s.changed)
	s.changed = make(chan struct{})
}

// close lets nobody take a slot any more and waits until all are given back; false if ctx ends first.
func (s *slots) close(ctx context.Context) bool {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.until(ctx, func() bool { return s.free == s.total })
}

func (s *slots) until(ctx context.Context, ok func() bool) bool {
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
