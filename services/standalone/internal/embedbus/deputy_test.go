package embedbus

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// TestAServiceIsNoDeputy: a worker cannot make a service's answer an event, a hand-out or another's heartbeat by naming that
// as the reply subject, which NATS permissions do not check.
func TestAServiceIsNoDeputy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, err := rpc.NewService(b.services, "scheduler", "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = rpc.HandleWorker(s, "claim", func(context.Context, string, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String("forged"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	nc := b.worker("w1")
	subject := bus.WorkerRequestSubject("scheduler", "claim", "w1")
	for _, reply := range []string{
		bus.QueueSubject("default", "ios", "b1", 1), bus.BuildSubject("b1", bus.Completed), bus.KeySubject(bus.WorkerKey("w2")),
	} {
		if err := nc.PublishRequest(subject, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	// Its own request, sent last, is answered last: the others have been dealt with.
	if err := rpc.Call(t.Context(), nc, subject, wrapperspb.String(""), wrapperspb.String("")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil { // waits for all answers
		t.Fatal(err)
	}
	for _, name := range []string{bus.QueueStream, bus.EventsStream, bus.HeartbeatStream} {
		stream, err := b.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Msgs; n != 0 {
			t.Errorf("%s holds %d messages that a worker forged", name, n)
		}
	}
	if err := nc.LastError(); err != nil && !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("connection: %v", err)
	}
}
