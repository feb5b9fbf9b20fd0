package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// TestEnsureIsIdempotent: any service may run it at any start, before and after a restart.
func TestEnsureIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(b.message("b1", "m1"))
	for round := range 2 {
		for range 2 {
			eventually(t, "Ensure", func() bool { return bus.Ensure(t.Context(), b.js, bus.NewTopology(1)) == nil })
			if err := bus.EnsureQueueConsumer(t.Context(), b.js, "default", "ios"); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		b.Restart()
	}
	eventually(t, "Ensure", func() bool { return bus.Ensure(t.Context(), b.js, bus.NewTopology(1)) == nil })
	if got := b.stored(bus.EventsStream); len(got) != 1 {
		t.Errorf("stored %v, want the one message of before", got)
	}
}

// TestTopologyIsWhatTheServerHolds: settings that durability rests on are really in force.
func TestTopologyIsWhatTheServerHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := func(name string) jetstream.StreamConfig {
		s, err := b.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config
	}
	for _, s := range bus.NewTopology(1).Streams {
		got := config(s.Name)
		if got.PersistMode != s.PersistMode || got.Retention != s.Retention || got.MaxAge != s.MaxAge || got.Storage != jetstream.FileStorage {
			t.Errorf("stream %s = %+v, want %+v", s.Name, got, s)
		}
	}
	if got := config(bus.HeartbeatStream); !got.AllowMsgTTL || got.SubjectDeleteMarkerTTL != bus.MarkerTTL || got.Storage != jetstream.MemoryStorage {
		t.Errorf("heartbeats = %+v, want per-key TTLs, markers and memory", got)
	}
}

// TestQueueConsumerOfBefore: how many may wait is fixed when a consumer is made; one that was made with another number serves on.
func TestQueueConsumerOfBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := bus.QueueConsumer("default", "ios")
	_, err := b.js.CreateConsumer(t.Context(), bus.QueueStream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: bus.QueueSubjects("default", "ios"), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: time.Minute, MaxWaiting: 20_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := bus.EnsureQueueConsumer(t.Context(), b.js, "default", "ios"); err != nil {
			t.Fatal(err)
		}
	}
	c, err := b.js.Consumer(t.Context(), bus.QueueStream, name)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config; got.MaxWaiting != 20_000 || got.AckWait != bus.QueueAckWait {
		t.Errorf("consumer = %+v, want all of it new but how many wait", got)
	}
}

// TestMoreIdleThanMayWait: who is turned away is not told, hears no beats, asks again and is served.
func TestMoreIdleThanMayWait(t *testing.T) {
	t.Parallel()
	const idle, beat = bus.QueueWaiting + 100, 500 * time.Millisecond
	b := setup(t)
	if err := bus.EnsureQueueConsumer(t.Context(), b.js, "default", "ios"); err != nil {
		t.Fatal(err)
	}
	nc := b.Connect("workers")
	served := make(chan error, idle)
	var waiting sync.WaitGroup
	for range idle {
		waiting.Add(1)
		go func() { served <- pullUntilServed(t.Context(), nc, beat, waiting.Done) }()
	}
	waiting.Wait()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range idle {
		if _, err := b.js.Publish(t.Context(), bus.QueueSubject("default", "ios", fmt.Sprintf("b%d", i), 1), nil); err != nil {
			t.Fatal(err)
		}
	}
	for range idle {
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
}

// pullUntilServed asks for one hand-out as a worker does, anew after two beats that were not heard.
func pullUntilServed(ctx context.Context, nc *nats.Conn, beat time.Duration, asked func()) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		asked()
		return err
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + "." + bus.QueueConsumer("default", "ios")
	for first := true; ; first = false {
		err := nc.PublishRequest(subject, inbox, []byte(fmt.Sprintf(`{"batch":1,"expires":%d,"idle_heartbeat":%d}`, 10*beat, beat)))
		if first {
			asked()
		}
		if err != nil {
			return err
		}
		for silent := false; !silent; {
			patient, stop := context.WithTimeout(ctx, 3*beat)
			m, err := sub.NextMsgWithContext(patient)
			stop()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, context.DeadlineExceeded):
				silent = true
			case err != nil:
				return err
			case m.Header.Get("Status") == "":
				return m.Ack()
			case m.Header.Get("Status") == "408":
				silent = true // expired: ask again
			}
		}
	}
}
