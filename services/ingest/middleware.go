package ingest

import (
	"context"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// requestIDHeader comes in from a proxy or goes out new.
const requestIDHeader = "X-Request-Id"

type requestIDKey struct{}

func (g *Ingest) withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !build.ValidID(id) {
			id = build.NewID()
			r.Header.Set(requestIDHeader, id) // so that it goes on to the artifact service
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// recoverPanics answers 500 and logs, except for the panic that net/http itself means to cut a connection with.
func (g *Ingest) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint,err113 // a sentinel panic value
				panic(p)
			}
			g.log.ErrorContext(r.Context(), "handler panicked", "request_id", requestID(r.Context()), "path", r.URL.Path, "panic", p)
			http.Error(w, `{"error":"Internal server error"}`, http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}
