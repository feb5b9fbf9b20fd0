package transition

import (
	"sync/atomic"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// Signal tells the parts of a scheduler that builds changed. Make it with NewSignal; it is safe for concurrent use.
type Signal struct {
	woken             backoff.Waker
	changes, arrivals atomic.Int64
}

// NewSignal returns a signal without changes.
func NewSignal() *Signal { return &Signal{woken: backoff.NewWaker()} }

// Changed reports that a build or a worker changed. One waiting signal stands for any number of changes.
func (s *Signal) Changed() {
	s.changes.Add(1)
	s.woken.Wake()
}

// Arrived reports that builds came to the queue, or came back to it.
func (s *Signal) Arrived() {
	s.Invalidate()
	s.Changed()
}

// Invalidate has the next poll search the queue anew.
func (s *Signal) Invalidate() { s.arrivals.Add(1) }

// Woken receives after changes.
func (s *Signal) Woken() <-chan struct{} { return s.woken.C() }

// Changes counts the changes so far.
func (s *Signal) Changes() int64 { return s.changes.Load() }

// Arrivals counts the arrivals so far.
func (s *Signal) Arrivals() int64 { return s.arrivals.Load() }
