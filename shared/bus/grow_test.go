package bus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// TestStreamsGrow: a farm that was told to keep one copy of everything is told to keep three. Nothing that was there is lost.
func TestStreamsGrow(t *testing.T) {
	t.Parallel()
	js, err := bus.JetStream(bustest.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	ensure := func(replicas int) {
		t.Helper()
		eventually(t, "Ensure", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err = bus.Ensure(ctx, js, bus.NewTopology(replicas))
			return err == nil
		})
	}
	ensure(1)
	for _, subject := range []string{bus.BuildSubject("b", bus.Submitted), bus.LogSubject("w", "b", 1), bus.TelemetrySubject("w", "b")} {
		if _, err := js.Publish(t.Context(), subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	ensure(3)
	for name, want := range map[string]uint64{
		bus.EventsStream: 1, bus.LogsStream: 1, bus.TelemetryStream: 1, bus.QueueStream: 0, bus.HeartbeatStream: 0,
	} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if i := s.CachedInfo(); i.Config.Replicas != 3 || i.State.Msgs != want {
			t.Errorf("%s has %d copies of %d messages, want 3 of %d", name, i.Config.Replicas, i.State.Msgs, want)
		}
	}
	ensure(3)
}

// TestAsyncStreamsStayAlone: how a stream is persisted is fixed when it is made. One copy of it is kept up to date all the same;
// more are refused with what can be done.
func TestAsyncStreamsStayAlone(t *testing.T) {
	t.Parallel()
	js, err := bus.JetStream(bustest.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	ensure := func(topology bus.Topology) (err error) {
		topology.Buckets = nil
		topology.Streams = slices.DeleteFunc(topology.Streams, func(s jetstream.StreamConfig) bool { return s.Name != bus.TelemetryStream })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return bus.Ensure(ctx, js, topology)
	}
	eventually(t, "Ensure", func() bool { return ensure(bus.NewTopology(1).AsyncTelemetry()) == nil })
	if err := ensure(bus.NewTopology(1)); err != nil {
		t.Errorf("Ensure of one copy = %v", err)
	}
	s, err := js.Stream(t.Context(), bus.TelemetryStream)
	if err != nil || s.CachedInfo().Config.PersistMode != jetstream.AsyncPersistMode {
		t.Errorf("the stream of telemetry is %+v, %v, want it as it was made", s.CachedInfo().Config, err)
	}
	if err := ensure(bus.NewTopology(3)); !errors.Is(err, bus.ErrAlone) {
		t.Errorf("Ensure of three copies = %v, want %v", err, bus.ErrAlone)
	}
}
