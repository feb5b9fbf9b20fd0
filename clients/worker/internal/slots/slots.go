package slots

import (
	"context"
	"slices"
	"sync"
)

// Slots is a counter of free slots. Make it with New. It is safe for concurrent use.
type Slots struct {
	mu          sync.Mutex
	free, total int
	closed      bool
	// waiters get the next slots, in the order in which they came.
	waiters []chan struct{}
	// changed is closed and replaced whenever a slot becomes free.
	changed chan struct{}
	// onFull are called when the last slot is acquired: pulls that wait must not bring more.
	onFull map[any]func()
}

// New returns n free slots.
func New(n int) *Slots {
	return &Slots{free: n, total: n, changed: make(chan struct{}), onFull: map[any]func(){}}
}

// Wait waits for a free slot without acquiring it. It returns false if ctx ends first.
func (s *Slots) Wait(ctx context.Context) bool {
	return s.until(ctx, func() bool { return s.free > 0 })
}

// TryAcquire acquires a slot if one is free.
func (s *Slots) TryAcquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 || s.closed {
		return false
	}
	if s.free--; s.free == 0 {
		s.full()
	}
	return true
}

// Acquire waits for a slot and acquires it. Who waits gets the next free slot, before any TryAcquire. It returns false if ctx ends first
// or the slots are closed.
func (s *Slots) Acquire(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if s.TryAcquire() {
		return true
	}
	granted := make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.waiters = append(s.waiters, granted)
	s.grant()
	s.mu.Unlock()
	select {
	case <-granted:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiters, granted)
	if i < 0 {
		return true // granted meanwhile
	}
	s.waiters = slices.Delete(s.waiters, i, i+1)
	return false
}

// grant gives free slots to those that wait for one. The caller holds the lock.
func (s *Slots) grant() {
	for s.free > 0 && len(s.waiters) > 0 && !s.closed {
		close(s.waiters[0])
		s.waiters = s.waiters[1:]
		if s.free--; s.free == 0 {
			s.full()
		}
	}
}

// full calls what OnFull was given. The caller holds the lock.
func (s *Slots) full() {
	for _, full := range s.onFull {
		full()
	}
}

// OnFull calls f each time the last slot is acquired, and now if none is free. A later call with the same key replaces f; nil removes it.
// f must not block.
func (s *Slots) OnFull(key any, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == nil {
		delete(s.onFull, key)
		return
	}
	s.onFull[key] = f
	if s.free == 0 {
		f()
	}
}

// Release frees a slot.
func (s *Slots) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	s.grant()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Close stops TryAcquire and waits until all slots are released. It returns false if ctx ends first. It may be called again.
func (s *Slots) Close(ctx context.Context) bool {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.until(ctx, func() bool { return s.free == s.total })
}

func (s *Slots) until(ctx context.Context, ok func() bool) bool {
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
