package observe

import (
	"context"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// RequestIDHeader carries the request id over HTTP, in both directions.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// WithRequestID puts a request id into the context. One that a stranger sent is kept only if it is a plain name of at most
// 64 characters (see build.ValidID); otherwise a new one is made. It returns the id in force.
func WithRequestID(ctx context.Context, id string) (context.Context, string) {
	if !build.ValidID(id) {
		id = build.NewID()
	}
	return context.WithValue(ctx, requestIDKey{}, id), id
}

// RequestID returns the context's request id, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
