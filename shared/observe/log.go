package observe

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger writes to w. format is "text" or "json" ("" means text), level one of slog's words: debug, info, warn, error
// ("" means info). Lines logged with a context carry its request_id and trace_id.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if level != "" {
		var l slog.Level
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level must be debug, info, warn or error (got %q)", level)
		}
		opts.Level = l
	}
	switch format {
	case "", "text":
		return slog.New(contextHandler{slog.NewTextHandler(w, opts)}), nil
	case "json":
		return slog.New(contextHandler{slog.NewJSONHandler(w, opts)}), nil
	}
	return nil, fmt.Errorf("log format must be json or text (got %q)", format)
}

// Handler returns h with the request_id and trace_id of each line's context; h itself if it adds them already.
func Handler(h slog.Handler) slog.Handler {
	if _, does := h.(contextHandler); does {
		return h
	}
	return contextHandler{h}
}

// contextHandler adds what the context knows to each line.
type contextHandler struct{ slog.Handler }

var _ slog.Handler = contextHandler{}

// Handle implements slog.Handler.
func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	id, span := RequestID(ctx), trace.SpanContextFromContext(ctx)
	if id != "" || span.HasTraceID() {
		r = r.Clone() // the caller's record may be shared
	}
	if id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if span.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
