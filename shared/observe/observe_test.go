package observe_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/expo-free-agent/freeagent/shared/observe"
)

func TestLinesCarryTheRequest(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := observe.NewLogger(&out, "json", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := observe.WithRequestID(t.Context(), "r-1")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.With("service", "ingest").InfoContext(trace.ContextWithSpanContext(ctx, span), "hello")
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]string{
		"level": "INFO", "msg": "hello", "service": "ingest", "request_id": "r-1", "trace_id": span.TraceID().String(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

func TestLevelsAndFormats(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := observe.NewLogger(&out, "text", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "msg=loud") || strings.Contains(got, "request_id") {
		t.Errorf("logged %q", got)
	}
	for _, c := range [][2]string{{"xml", ""}, {"", "loud"}} {
		if _, err := observe.NewLogger(&out, c[0], c[1]); err == nil {
			t.Errorf("NewLogger(%q, %q): no error", c[0], c[1])
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	if got := observe.RequestID(t.Context()); got != "" {
		t.Errorf("RequestID of nothing = %q", got)
	}
	for id, kept := range map[string]bool{"abc-1": true, "": false, "a\nb": false, strings.Repeat("x", 65): false} {
		ctx, got := observe.WithRequestID(t.Context(), id)
		if (got == id) != kept || got == "" || observe.RequestID(ctx) != got {
			t.Errorf("WithRequestID(%q) = %q", id, got)
		}
	}
}
