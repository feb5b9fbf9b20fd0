package bus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

var small = bus.Batch{Size: 10, Most: 50, Wait: 100 * time.Millisecond}

// consumeBatches runs until the returned stop, which waits for it.
func (b *bundle) consumeBatches(c bus.Consumer, size bus.Batch, h bus.BatchHandler) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bus.ConsumeBatches(ctx, b.js, c, size, h, quiet) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("ConsumeBatches = %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// TestBatchesHoldAll: each message is in a batch once, in order, none larger than allowed; a lone one does not wait for more.
func TestBatchesHoldAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 237
	for i := range n {
		b.publish(b.message("b1", fmt.Sprint("m", i)))
	}
	seen, last := make(chan int, 1000), uint64(0)
	cons := events("batches", 1)
	b.consumeBatches(cons, small, func(_ context.Context, msgs []jetstream.Msg) error {
		if len(msgs) == 0 || len(msgs) > small.Most {
			t.Errorf("a batch of %d", len(msgs))
		}
		for _, m := range msgs {
			md, err := m.Metadata()
			if err != nil || md.Sequence.Stream <= last {
				t.Errorf("sequence %v after %d: %v", md.Sequence, last, err)
			}
			last = md.Sequence.Stream
		}
		seen <- len(msgs)
		return nil
	})
	for got := 0; got < n; {
		got += next(t, seen, "batch")
	}
	b.settled(cons)
	b.publish(b.message("b1", "alone"))
	if k := next(t, seen, "batch of one"); k != 1 {
		t.Errorf("a batch of %d, want 1", k)
	}
}

// TestBatchComesAgain after an error or a panic, whole.
func TestBatchComesAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 7 {
		b.publish(b.message("b1", fmt.Sprint("m", i)))
	}
	calls, seen := 0, make(chan int, 100)
	cons := events("again", 1)
	b.consumeBatches(cons, small, func(_ context.Context, msgs []jetstream.Msg) error {
		if calls++; calls == 1 {
			return errTest
		} else if calls == 2 {
			panic("test")
		}
		seen <- len(msgs)
		return nil
	})
	for got := 0; got < 7; {
		got += next(t, seen, "batch")
	}
	b.settled(cons)
}

// TestBatchesAreHandedBack: what a stopping consumer has not begun is another's at once.
func TestBatchesAreHandedBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 500 {
		b.publish(b.message("b1", fmt.Sprint("m", i)))
	}
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	cons := events("handed-back", 1)
	cons.AckWait = time.Hour
	stop := b.consumeBatches(cons, small, func(context.Context, []jetstream.Msg) error {
		entered <- struct{}{}
		<-leave
		return nil
	})
	next(t, entered, "first batch")
	go func() { close(leave) }()
	stop()
	total := make(chan int, 1000)
	b.consumeBatches(cons, small, func(_ context.Context, msgs []jetstream.Msg) error {
		total <- len(msgs)
		return nil
	})
	next(t, total, "batch")
	b.settled(cons)
}

// TestAsyncLeavesOutWhatIsTooMuch, and says so; what it took before its end is in the stream.
func TestAsync(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := bus.NewAsync(b.Connect("async"), 10, "samples", quiet)
	if err != nil {
		t.Fatal(err)
	}
	msg := func() *nats.Msg {
		m := nats.NewMsg(bus.TelemetrySubject("w1", "b1"))
		m.Data = []byte("x")
		return m
	}
	for i := range 15 { // nobody sends yet
		if took := a.Offer(msg()); took != (i < 10) {
			t.Errorf("Offer %d = %v", i, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if a.Offer(msg()) || a.Shed() != 6 || a.Sent() != 10 || a.Failed() != 0 {
		t.Errorf("shed %d, sent %d, failed %d, want 6, 10, 0", a.Shed(), a.Sent(), a.Failed())
	}
	s, err := b.js.Stream(t.Context(), bus.TelemetryStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 10 {
		t.Errorf("%d messages in the stream, want 10", n)
	}
}

// TestADeletedConsumerIsMadeAgain, and hears everything anew.
func TestADeletedConsumerIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(b.message("b1", "m1"))
	for name, start := range map[string]func(bus.Consumer, chan int){
		"one by one": func(c bus.Consumer, seen chan int) {
			b.consume(c, func(context.Context, jetstream.Msg) error { seen <- 1; return nil })
		},
		"in batches": func(c bus.Consumer, seen chan int) {
			b.consumeBatches(c, small, func(_ context.Context, msgs []jetstream.Msg) error { seen <- len(msgs); return nil })
		},
	} {
		seen, cons := make(chan int, 10), events(strings.ReplaceAll(name, " ", "-"), 1)
		start(cons, seen)
		next(t, seen, name+": first time")
		if err := b.js.DeleteConsumer(t.Context(), cons.Stream, cons.Durable); err != nil {
			t.Fatal(err)
		}
		next(t, seen, name+": after the deletion")
	}
}
