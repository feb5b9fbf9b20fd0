package httpx

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/observe"
)

// RequestIDHeader comes from a client or a proxy, or is set anew.
const RequestIDHeader = observe.RequestIDHeader

// WithRequestID gives each request an id, which its answer, its log lines and the requests that it causes carry. It keeps the client's
// id if that is valid.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, id := observe.WithRequestID(r.Context(), r.Header.Get(RequestIDHeader))
		r.Header.Set(RequestIDHeader, id) // so that a proxied request has it
		w.Header().Set(RequestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
