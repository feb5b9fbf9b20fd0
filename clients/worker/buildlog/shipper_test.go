package buildlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// start runs a shipper until the test ends.
func start(t *testing.T, publish func(context.Context, *nats.Msg) error, buffer int) (*buildlog.Shipper, string) {
	t.Helper()
	id := build.NewID()
	s := buildlog.New(buildlog.Config{
		WorkerID: "w1", BuildID: id, Attempt: 1, Buffer: buffer, Publish: publish, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s, id
}

func publisher(t *testing.T, srv *bustest.Server) (jetstream.JetStream, func(context.Context, *nats.Msg) error) {
	t.Helper()
	js := srv.JetStream(srv.Connect("worker"))
	return js, func(ctx context.Context, m *nats.Msg) error {
		_, err := js.PublishMsg(ctx, m)
		return err
	}
}

// stored reads the whole log and fails on a gap.
func stored(t *testing.T, js jetstream.JetStream, id string) []string {
	t.Helper()
	cons, err := js.OrderedConsumer(t.Context(), bus.LogsStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{bus.LogSubjectsOf(id)}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := cons.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for range info.NumPending {
		m, err := cons.Next()
		if err != nil {
			t.Fatal(err)
		}
		var c eventsv1.LogChunk
		if err := proto.Unmarshal(m.Data(), &c); err != nil {
			t.Fatal(err)
		}
		if want := int64(len(lines) + 1); c.GetFirstLine() != want {
			t.Fatalf("chunk begins with line %d, want %d", c.GetFirstLine(), want)
		}
		for _, l := range c.GetLines() {
			lines = append(lines, l.GetText())
		}
	}
	return lines
}

func TestLinesArriveOverARestart(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	js, publish := publisher(t, srv)
	s, id := start(t, publish, 0)
	const n = 20_000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			s.Line(t.Context(), "info", "install", fmt.Sprint("line ", i+1))
		}
	})
	srv.Restart()
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	lines := stored(t, js, id)
	if len(lines) != n {
		t.Fatalf("%d lines arrived, want %d", len(lines), n)
	}
	for i, l := range lines {
		if want := fmt.Sprint("line ", i+1); l != want {
			t.Fatalf("line %d = %q, want %q", i+1, l, want)
		}
	}
}

// A chunk whose acknowledgement is lost is sent again and stored once.
func TestARepeatedChunkIsStoredOnce(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	js, publish := publisher(t, srv)
	var calls atomic.Int32
	s, id := start(t, func(ctx context.Context, m *nats.Msg) error {
		if err := publish(ctx, m); err != nil {
			return err
		}
		if calls.Add(1)%2 == 1 {
			return errors.New("the acknowledgement is lost")
		}
		return nil
	}, 0)
	for i := range 300 {
		s.Line(t.Context(), "info", "install", fmt.Sprint(i))
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(stored(t, js, id)); got != 300 {
		t.Errorf("%d lines are stored, want 300", got)
	}
}

func TestAFullBufferMakesTheBuildWait(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	s, _ := start(t, func(ctx context.Context, _ *nats.Msg) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var added atomic.Int32
	go func() {
		defer close(done)
		for range 100 {
			s.Line(ctx, "info", "install", "a line of twenty bytes")
			added.Add(1)
		}
	}()
	select {
	case <-done:
		t.Fatal("100 lines found place in 1000 bytes")
	case <-time.After(100 * time.Millisecond):
	}
	if n := added.Load(); n < 5 || n > 20 {
		t.Errorf("%d lines were taken, want about 10", n)
	}
	close(gate)
	<-done
	cancel()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFlushEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := start(t, func(context.Context, *nats.Msg) error { return errors.New("no bus") }, 0)
	s.Line(t.Context(), "info", "", "x")
	wanted := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(wanted)
	if err := s.Flush(ctx); !errors.Is(err, wanted) {
		t.Errorf("Flush = %v, want %v", err, wanted)
	}
}
