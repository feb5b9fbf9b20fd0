package bus_test

import (
	"testing"

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
