package pause

import (
	"context"
	"sync"
	"time"
)

// slices is into how many parts a limit of silence is cut. A part that takes twice its time was a pause.
const slices = 8

// Silence calls a function once when nothing happened for a limit of time in which this process ran. A pause
// of the process grants a full limit anew, so a peer that could not be heard meanwhile is not blamed. It needs no
// Detector. Its methods are safe for concurrent use.
type Silence struct {
	limit time.Duration
	f     func()
	now   func() time.Time

	mu    sync.Mutex
	timer *time.Timer
	// since is the last sign of life, after which the silence may last for allowed.
	since   time.Time
	allowed time.Duration
	// due is when the timer is to fire next, while it is armed.
	due     time.Time
	armed   bool
	waiting bool
	over    bool
}

// NewSilence returns a Silence that waits from now on. f runs in a goroutine of its own, and Stop waits for
// it, so f must not call the Silence's methods. The caller must call Stop.
func NewSilence(limit time.Duration, f func()) *Silence {
	s := newSilence(limit, f, time.Now)
	s.Touch()
	return s
}

// WithSilence returns a context that ends with cause when touch is not called for limit. Call stop at the end.
func WithSilence(ctx context.Context, limit time.Duration, cause error) (guarded context.Context, touch, stop func()) {
	guarded, cancel := context.WithCancelCause(ctx)
	s := NewSilence(limit, func() { cancel(cause) })
	return guarded, s.Touch, func() { s.Stop(); cancel(nil) }
}

// NewSuspendedSilence returns a Silence that waits from its first Touch on.
func NewSuspendedSilence(limit time.Duration, f func()) *Silence {
	return newSilence(limit, f, time.Now)
}

func newSilence(limit time.Duration, f func(), now func() time.Time) *Silence {
	s := &Silence{limit: limit, f: f, now: now}
	s.timer = time.AfterFunc(time.Hour, s.tick)
	s.timer.Stop()
	return s
}

// Touch reports a sign of life. It starts the wait again after Suspend.
func (s *Silence) Touch() { s.Allow(s.limit) }

// Allow is Touch with another limit, which holds until the next Touch.
func (s *Silence) Allow(limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	shorter := limit < s.allowed
	s.since, s.allowed, s.waiting = s.now(), limit, true
	if !s.armed || shorter {
		s.arm(s.since)
	}
}

// Suspend ends the wait until the next Touch: it is not the other side's turn.
func (s *Silence) Suspend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = false
}

// Stop ends the Silence. When it returns, the function has run or will not.
func (s *Silence) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.timer.Stop()
}

// arm is called with mu held.
func (s *Silence) arm(now time.Time) {
	wait := min(s.slice(), s.since.Add(s.allowed).Sub(now))
	s.due, s.armed = now.Add(wait), true
	s.timer.Reset(wait)
}

func (s *Silence) slice() time.Duration { return max(s.allowed/slices, time.Millisecond) }

func (s *Silence) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || !s.waiting {
		s.armed = false
		return
	}
	now := s.now()
	if now.Sub(s.due) > s.slice() { // this process did not run
		s.since = now
	}
	if now.Sub(s.since) >= s.allowed {
		s.over = true
		s.f()
		return
	}
	s.arm(now)
}
