package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// stored reads the ids of a stream in order.
func (b *bundle) stored(stream string) []string {
	b.t.Helper()
	s, err := b.js.Stream(b.t.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	var ids []string
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(b.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			b.t.Fatal(err)
		}
		ids = append(ids, m.Header.Get(bus.HeaderID))
	}
	return ids
}

// TestPublishAll: in order over more than one window, and what is sent again is stored once.
func TestPublishAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var msgs []bus.Message
	var want []string
	for i := range 2*bus.Window + 10 {
		id := fmt.Sprint(i)
		msgs, want = append(msgs, b.message("b1", id)), append(want, id)
	}
	b.publish(msgs[:300]...)
	b.publish(msgs...)
	if diff := cmp.Diff(want, b.stored(bus.EventsStream)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// TestPublishAllCountsWhatIsDurable: up to the first message that was not taken.
func TestPublishAllCountsWhatIsDurable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	msgs := []bus.Message{b.message("b1", "1"), b.message("b1", "2"), b.message("b1", "3"), b.message("b1", "4")}
	msgs[2].Subject = "fa.no.stream.listens.here"
	n, err := bus.PublishAll(t.Context(), b.js, msgs)
	if n != 2 || !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("PublishAll = %d, %v, want 2 and no stream's response", n, err)
	}
	msgs[2].Subject = bus.BuildSubject("b1", bus.Queued)
	b.publish(msgs[n:]...)
	if got := b.stored(bus.EventsStream); len(got) != len(msgs) {
		t.Errorf("stored %v, want each once", got)
	}
}

func TestPublishAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Somebody hears it and nobody acknowledges.
	nc := b.Connect("silent")
	if _, err := nc.SubscribeSync("fa.silent"); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	m := b.message("b1", "1")
	m.Subject = "fa.silent"
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errTest)
	defer cancel()
	if n, err := bus.PublishAll(ctx, b.js, []bus.Message{m}); n != 0 || !errors.Is(err, errTest) {
		t.Errorf("PublishAll = %d, %v, want 0 and the context's cause", n, err)
	}
}

func TestMessageCarriesWhoWhatAndTrace(t *testing.T) {
	t.Parallel()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	m, err := bus.NewMessage(trace.ContextWithSpanContext(t.Context(), span), "scheduler", "fa.builds.b1.queued", at, wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	n := m.WithID("id-1").NATS()
	for header, want := range map[string]string{
		"Nats-Msg-Id": "id-1", bus.HeaderID: "id-1", bus.HeaderSource: "/freeagent/scheduler", bus.HeaderSpecVersion: "1.0",
		bus.HeaderType: "google.protobuf.StringValue", bus.HeaderTime: "2026-01-02T03:04:05.000000006Z",
		bus.HeaderContentType: "application/protobuf",
	} {
		if got := n.Header.Get(header); got != want {
			t.Errorf("header %s = %q, want %q", header, got, want)
		}
	}
	if got := trace.SpanContextFromContext(bus.WithTrace(t.Context(), n.Header)); got.TraceID() != span.TraceID() || got.SpanID() != span.SpanID() {
		t.Errorf("trace = %v, want %v", got, span)
	}
	var fact wrapperspb.StringValue
	if err := proto.Unmarshal(n.Data, &fact); err != nil || fact.GetValue() != "x" {
		t.Errorf("payload = %v, %v", &fact, err)
	}
}
