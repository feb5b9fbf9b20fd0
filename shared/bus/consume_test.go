package bus_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

func events(durable string, parallel int) bus.Consumer {
	return bus.Consumer{Stream: bus.EventsStream, Durable: durable, Filters: []string{bus.BuildSubjects(bus.Queued)}, Parallel: parallel}
}

// TestConsumeResultDecides: what a handler returns is what happens to the message.
func TestConsumeResultDecides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first      error
		deliveries int
		atLeast    time.Duration
	}{
		"nil acknowledges":     {nil, 1, 0},
		"drop is for good":     {fmt.Errorf("garbage: %w", bus.ErrDrop), 1, 0},
		"error delivers again": {errTest, 2, 150 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			seen := make(chan time.Time, 10)
			var n atomic.Int32
			cons := events("results", 1)
			b.consume(cons, func(context.Context, jetstream.Msg) error {
				seen <- time.Now()
				if n.Add(1) == 1 {
					return c.first
				}
				return nil
			})
			b.publish(b.message("b1", "m1"))
			at := next(t, seen, "first delivery")
			for range c.deliveries - 1 {
				if again := next(t, seen, "next delivery"); again.Sub(at) < c.atLeast {
					t.Errorf("delivered again after %s, want at least %s", again.Sub(at), c.atLeast)
				}
			}
			b.settled(cons)
			if got := int(n.Load()); got != c.deliveries {
				t.Errorf("%d deliveries, want %d", got, c.deliveries)
			}
		})
	}
}

// TestConsumeOneKeepsOrder: with one at a time a message that is tried again holds up those behind it.
func TestConsumeOneKeepsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	seen := make(chan string, 100)
	failed := map[string]bool{}
	b.consume(events("order", 1), func(_ context.Context, m jetstream.Msg) error {
		id := m.Headers().Get(bus.HeaderID)
		if !failed[id] && (id == "m2" || id == "m5") {
			failed[id] = true
			return errTest
		}
		seen <- id
		return nil
	})
	var want, got []string
	for i := range 10 {
		id := fmt.Sprintf("m%d", i)
		want = append(want, id)
		b.publish(b.message("b1", id))
	}
	for range want {
		got = append(got, next(t, seen, "message"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestConsumeIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const parallel, total = 4, 40
	var now, most atomic.Int32
	entered, release := make(chan struct{}, total), make(chan struct{})
	cons := events("bounded", parallel)
	b.consume(cons, func(context.Context, jetstream.Msg) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		entered <- struct{}{}
		<-release
		return nil
	})
	for i := range total {
		b.publish(b.message("b1", fmt.Sprint(i)))
	}
	for range parallel {
		next(t, entered, "handlers at once")
	}
	close(release)
	b.settled(cons)
	if got := most.Load(); got != parallel {
		t.Errorf("at most %d at once, want %d", got, parallel)
	}
}

// TestConsumeStop: it waits for the handlers under way, and hands back at once what it had fetched and not begun.
func TestConsumeStop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 8 {
		b.publish(b.message("b1", fmt.Sprint(i)))
	}
	entered, finished := make(chan struct{}, 8), make(chan struct{}, 8)
	cons := events("stop", 2)
	stop := b.consume(cons, func(ctx context.Context, _ jetstream.Msg) error {
		entered <- struct{}{}
		<-ctx.Done()
		finished <- struct{}{}
		return nil
	})
	next(t, entered, "first handler")
	next(t, entered, "second handler")
	stop()
	if len(finished) != 2 {
		t.Errorf("Consume returned before its handlers: %d of 2 had finished", len(finished))
	}
	// AckWait is 30 s, more than the patience of this test: only what was handed back can be here in time.
	seen := make(chan struct{}, 8)
	b.consume(cons, func(context.Context, jetstream.Msg) error { seen <- struct{}{}; return nil })
	for range 6 {
		next(t, seen, "rest after the stop")
	}
}

func TestConsumeSurvivesAPanic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var once sync.Once
	done := make(chan struct{})
	b.consume(events("panic", 1), func(context.Context, jetstream.Msg) error {
		once.Do(func() { panic("a message that breaks the handler") })
		close(done)
		return nil
	})
	b.publish(b.message("b1", "m1"))
	next(t, done, "second delivery")
}

// TestConsumeSurvivesARestart: a durable goes on where it was, on disk; what lay in memory is made again.
func TestConsumeSurvivesARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	facts, beats := make(chan string, 10), make(chan string, 10)
	b.consume(events("restart", 1), func(_ context.Context, m jetstream.Msg) error {
		facts <- m.Headers().Get(bus.HeaderID)
		return nil
	})
	kv := bus.Consumer{Stream: bus.HeartbeatStream, Durable: "restart-beats", Filters: []string{bus.KeySubject(">")}, Parallel: 4}
	b.consume(kv, func(_ context.Context, m jetstream.Msg) error { beats <- m.Subject(); return nil })
	beat := func(worker string) {
		t.Helper()
		subject := bus.KeySubject(bus.WorkerKey(worker))
		if _, err := b.js.Publish(t.Context(), subject, nil, jetstream.WithMsgTTL(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := next(t, beats, "heartbeat of "+worker); got != subject {
			t.Errorf("heartbeat on %s, want %s", got, subject)
		}
	}
	b.publish(b.message("b1", "before"))
	if got := next(t, facts, "fact before"); got != "before" {
		t.Errorf("got %s", got)
	}
	beat("w1")
	b.Restart()
	eventually(t, "topology after the restart", func() bool {
		return bus.Ensure(t.Context(), b.js, bus.NewTopology(1)) == nil
	})
	b.publish(b.message("b1", "after"))
	if got := next(t, facts, "fact after"); got != "after" {
		t.Errorf("got %s, want only the new fact", got)
	}
	beat("w2")
}
