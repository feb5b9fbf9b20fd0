package ingest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/observe"
)

// requestIDHeader comes in from a client or a proxy, or goes out new.
const requestIDHeader = "X-Request-Id"

func (g *Ingest) withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !build.ValidID(id) { // also keeps a stranger's text out of our log
			id = build.NewID()
			r.Header.Set(requestIDHeader, id) // so that it goes on to the artifact service
		}
		w.Header().Set(requestIDHeader, id)
		ctx, _ := observe.WithRequestID(r.Context(), id)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func requestID(ctx context.Context) string { return observe.RequestID(ctx) }

// logRequests writes one line a request: what changes something or failed as info, the rest as debug.
func (g *Ingest) logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, out := time.Now(), middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			level := slog.LevelDebug
			if r.Method != http.MethodGet && r.Method != http.MethodHead && !routine(r.URL.Path) || out.Status() >= http.StatusInternalServerError {
				level = slog.LevelInfo
			}
			g.log.Log(r.Context(), level, "request", "method", r.Method, "path", r.URL.Path, "status", out.Status(),
				"bytes", out.BytesWritten(), "ms", time.Since(begin).Milliseconds())
		}()
		next.ServeHTTP(out, r)
	})
}

// routine is what a worker says of its build many times a minute.
func routine(path string) bool {
	return strings.HasSuffix(path, "/telemetry") || strings.HasSuffix(path, "/heartbeat") || strings.HasSuffix(path, "/logs")
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
			g.log.ErrorContext(r.Context(), "handler panicked", "path", r.URL.Path, "panic", p)
			dialectOf(r.URL.Path).refuse(w, r, http.StatusInternalServerError, build.CodeInternal, sayInternal)
		}()
		next.ServeHTTP(w, r)
	})
}
