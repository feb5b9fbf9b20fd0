package bus_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// cramped is a bus that is full after 64 MiB.
const cramped = 64 << 20

// flood publishes more log lines than the bus has room for, and returns the first refusal.
func flood(t *testing.T, js jetstream.JetStream) error {
	t.Helper()
	chunk := make([]byte, 512<<10)
	var first error
	for i := range 2 * cramped / len(chunk) {
		_, err := js.PublishMsg(t.Context(), bus.Message{ID: fmt.Sprint("line", i), Subject: bus.LogSubject("mac", "b1", 1), Payload: chunk}.NATS())
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

// TestAFloodOfLogsLeavesRoom: without limits it takes all there is, and hand-outs and events are refused; with them it pushes out
// its own oldest lines. Streams that are there already get their limits.
func TestAFloodOfLogsLeavesRoom(t *testing.T) {
	t.Parallel()
	for name, limited := range map[string]bool{"unlimited": false, "limited": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.StartWith(t, cramped)
			js := srv.JetStream(srv.Connect("test"))
			if limited {
				storage, err := bus.EnsureWithin(t.Context(), js, bus.NewTopology(1), 0, nil)
				if err != nil || storage > cramped || storage < cramped/2 {
					t.Fatalf("EnsureWithin = %d, %v, want a good part of %d", storage, err, cramped)
				}
			}
			refused := flood(t, js)
			_, queue := js.Publish(t.Context(), bus.QueueSubject("default", "ios", "b2", 1), []byte("hand-out"))
			_, event := js.Publish(t.Context(), bus.BuildSubject("b2", bus.Queued), []byte("event"))
			if limited && (refused != nil || queue != nil || event != nil) {
				t.Errorf("log line: %v, hand-out: %v, event: %v; want all stored", refused, queue, event)
			}
			if !limited && (queue == nil || event == nil) {
				t.Errorf("hand-out: %v, event: %v; the flood is no flood", queue, event)
			}
		})
	}
}

func limitOf(t *testing.T, js jetstream.JetStream, name string) int64 {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config.MaxBytes
}

func TestLimitsAreConfigured(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	js := srv.JetStream(srv.Connect("test"))
	for _, c := range []struct {
		storage int64
		own     map[string]int64
		want    map[string]int64
	}{
		{66 << 20, nil, map[string]int64{bus.LogsStream: 32 << 20, bus.EventsStream: 8 << 20, bus.TelemetryStream: 4 << 20, bus.QueueStream: 2 << 20}},
		{66 << 20, map[string]int64{bus.LogsStream: 5 << 20}, map[string]int64{bus.LogsStream: 5 << 20, bus.EventsStream: 8 << 20}},
		{0, map[string]int64{bus.LogsStream: 6 << 20}, map[string]int64{bus.LogsStream: 6 << 20}},
		{33 << 20, nil, map[string]int64{bus.LogsStream: 16 << 20}},
	} {
		if got, err := bus.EnsureWithin(t.Context(), js, bus.NewTopology(1), c.storage, c.own); err != nil || got < c.storage {
			t.Fatalf("EnsureWithin(%d) = %d, %v", c.storage, got, err)
		}
		for name, want := range c.want {
			if got := limitOf(t, js, name); got != want {
				t.Errorf("storage %d, own %v: %s has %d bytes, want %d", c.storage, c.own, name, got, want)
			}
		}
	}
}

// TestALimitDropsNothing: a stream that holds more than its share keeps it, and gets its share when it has shrunk.
func TestALimitDropsNothing(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	js := srv.JetStream(srv.Connect("test"))
	for range 8 {
		if _, err := js.Publish(t.Context(), bus.LogSubject("mac", "b1", 1), make([]byte, 512<<10)); err != nil {
			t.Fatal(err)
		}
	}
	ensure := func() {
		t.Helper()
		if _, err := bus.EnsureWithin(t.Context(), js, bus.NewTopology(1), 66<<20, map[string]int64{bus.LogsStream: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	ensure()
	s, err := js.Stream(t.Context(), bus.LogsStream)
	if err != nil || s.CachedInfo().State.Msgs != 8 {
		t.Fatalf("%v, %v: want all 8 messages", s.CachedInfo().State, err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	ensure()
	if got := limitOf(t, js, bus.LogsStream); got != 1<<20 {
		t.Errorf("limit = %d, want its share", got)
	}
}

// TestLimitsOnAShrunkenServer: a server that starts with less than the streams were promised serves on, and nothing is lost.
func TestLimitsOnAShrunkenServer(t *testing.T) {
	t.Parallel()
	srv := bustest.StartWith(t, 8*cramped)
	js := srv.JetStream(srv.Connect("test"))
	if got, err := bus.EnsureWithin(t.Context(), js, bus.NewTopology(1), 100*cramped, nil); err != nil || got > 12*cramped || got < 4*cramped {
		t.Fatalf("EnsureWithin = %d, %v, want what the server has", got, err)
	}
	if _, err := js.Publish(t.Context(), bus.BuildSubject("b1", bus.Queued), nil); err != nil {
		t.Fatal(err)
	}
	srv.Shrink(cramped)
	for range 2 {
		eventually(t, "EnsureWithin", func() bool {
			_, err := bus.EnsureWithin(t.Context(), js, bus.NewTopology(1), cramped, nil)
			if err != nil {
				t.Log(err)
			}
			return err == nil
		})
	}
	s, err := js.Stream(t.Context(), bus.EventsStream)
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("events = %v, %v, want the one", s.CachedInfo().State, err)
	}
}
