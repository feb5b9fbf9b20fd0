package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// bundle is a fresh bus with one client.
type bundle struct {
	*bustest.Server
	t  *testing.T
	js jetstream.JetStream
}

func setup(t *testing.T) *bundle {
	t.Helper()
	s := bustest.Start(t)
	return &bundle{Server: s, t: t, js: s.JetStream(s.Connect("test"))}
}

// message is a fact about a build under a known id.
func (b *bundle) message(buildID, id string) bus.Message {
	b.t.Helper()
	m, err := bus.NewMessage(b.t.Context(), "test", bus.BuildSubject(buildID, bus.Queued), time.Now(), wrapperspb.String(id))
	if err != nil {
		b.t.Fatal(err)
	}
	return m.WithID(id)
}

func (b *bundle) publish(msgs ...bus.Message) {
	b.t.Helper()
	if n, err := bus.PublishAll(b.t.Context(), b.js, msgs); err != nil || n != len(msgs) {
		b.t.Fatalf("PublishAll = %d, %v", n, err)
	}
}

// consume runs Consume until the returned stop is called or the test ends; stop waits for it.
func (b *bundle) consume(c bus.Consumer, h bus.Handler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bus.Consume(ctx, b.js, c, h, quiet) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				b.t.Errorf("Consume = %v, want nil after its context ended", err)
			}
		case <-time.After(patience):
			b.t.Error("Consume does not return")
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// next waits for a value.
func next[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing after %s", what, patience)
		panic("unreachable")
	}
}

// eventually polls state.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// settled waits until nothing of a consumer's is pending or unacknowledged.
func (b *bundle) settled(c bus.Consumer) {
	b.t.Helper()
	eventually(b.t, c.Durable+" has settled everything", func() bool {
		cons, err := b.js.Consumer(b.t.Context(), c.Stream, c.Durable)
		if err != nil {
			return false
		}
		i := cons.CachedInfo()
		return i.NumPending == 0 && i.NumAckPending == 0
	})
}

var errTest = errors.New("not this time")
