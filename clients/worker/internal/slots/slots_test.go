package slots

import (
	"context"
	"testing"
	"time"
)

func TestOnFullIsCalledForTheLastSlot(t *testing.T) {
	t.Parallel()
	s, calls := New(2), 0
	s.OnFull("pull", func() { calls++ })
	for i, want := range []int{0, 1} {
		if !s.TryAcquire() || calls != want {
			t.Errorf("slot %d: %d calls, want %d", i+1, calls, want)
		}
	}
	if s.TryAcquire() {
		t.Error("TryAcquire of a third slot = true, want false")
	}
	s.OnFull("late", func() { calls++ })
	if calls != 2 {
		t.Errorf("%d calls after OnFull without a free slot, want 2", calls)
	}
	s.OnFull("pull", nil)
	s.OnFull("late", nil)
	s.Release()
	if s.TryAcquire(); calls != 2 {
		t.Errorf("%d calls after OnFull(nil), want 2", calls)
	}
}

func TestCloseWaitsForReleases(t *testing.T) {
	t.Parallel()
	s := New(1)
	if !s.TryAcquire() {
		t.Fatal("TryAcquire = false")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if s.Close(ended) || s.Wait(ended) {
		t.Error("Close or Wait with a slot in use and an ended context = true, want false")
	}
	closed := make(chan bool, 1)
	go func() { closed <- s.Close(t.Context()) }()
	s.Release()
	select {
	case ok := <-closed:
		if !ok || s.TryAcquire() {
			t.Errorf("Close = %v, and then a slot was acquired", ok)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close does not return")
	}
}

// TestAcquireComesFirst: who waits for a slot gets the next one, in order, and nobody else does.
func TestAcquireComesFirst(t *testing.T) {
	t.Parallel()
	s := New(1)
	if !s.Acquire(t.Context()) {
		t.Fatal("Acquire of a free slot = false")
	}
	given := make(chan int, 2)
	wait := func(name, waiting int) {
		go func() {
			if s.Acquire(t.Context()) {
				given <- name
			}
		}()
		for s.waiting() < waiting {
			<-time.After(time.Millisecond)
		}
	}
	wait(1, 1)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if s.Acquire(gone) {
		t.Error("Acquire after the end of its context = true")
	}
	wait(2, 2)
	for want := range 2 {
		s.Release()
		if s.TryAcquire() {
			t.Error("TryAcquire = true, although somebody waits")
		}
		if name := <-given; name != want+1 {
			t.Errorf("the slot went to %d, want %d", name, want+1)
		}
	}
	s.Release()
	if !s.TryAcquire() {
		t.Error("TryAcquire of a free slot = false")
	}
}

func (s *Slots) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiters)
}
