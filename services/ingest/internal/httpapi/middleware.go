package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// Headers of requests.
const (
	WorkerHeader = "X-Worker-Id"
	BuildHeader  = "X-Build-Id"
)

// LogRequests writes one line a request: changes and failures as info, everything else as debug.
func LogRequests(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begin, out := time.Now(), middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			defer func() {
				level := slog.LevelDebug
				if r.Method != http.MethodGet && r.Method != http.MethodHead && !isRoutine(r.URL.Path) || out.Status() >= http.StatusInternalServerError {
					level = slog.LevelInfo
				}
				log.Log(r.Context(), level, "request", "method", r.Method, "path", r.URL.Path, "status", out.Status(),
					"bytes", out.BytesWritten(), "ms", time.Since(begin).Milliseconds())
			}()
			next.ServeHTTP(out, r)
		})
	}
}

// isRoutine reports whether workers post to the path many times a minute.
func isRoutine(path string) bool {
	return strings.HasSuffix(path, "/telemetry") || strings.HasSuffix(path, "/heartbeat") || strings.HasSuffix(path, "/logs")
}

// RecoverPanics answers 500 and logs, except for the panic by which net/http cuts a connection.
func RecoverPanics(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if p == http.ErrAbortHandler { //nolint:errorlint // a sentinel panic value
					panic(p)
				}
				log.ErrorContext(r.Context(), "handler panicked", "path", r.URL.Path, "panic", p)
				DialectOf(r.URL.Path).Refuse(w, r, http.StatusInternalServerError, build.CodeInternal, MsgInternal)
			}()
			next.ServeHTTP(w, r)
		})
	}
}

// RequireText refuses requests whose path, query or headers are not UTF-8 text: they name
// something, and nothing has such a name.
func RequireText(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if part := InvalidPart(r); part != "" {
			DialectOf(r.URL.Path).Refuse(w, r, http.StatusBadRequest, build.Code(build.ErrInvalid),
				"The "+part+" has bytes that are not UTF-8 text. Send text as UTF-8, without NUL")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// InvalidPart names the part of a request that is not text; it is empty if all of it is.
func InvalidPart(r *http.Request) string {
	if !text.Valid(r.URL.Path) {
		return "path"
	}
	if r.URL.RawQuery != "" {
		for name, values := range r.URL.Query() {
			for _, v := range append(values, name) {
				if !text.Valid(v) {
					return "query"
				}
			}
		}
	}
	for _, name := range []string{WorkerHeader, BuildHeader} {
		if text.Check(r.Header.Get(name)) != nil {
			return "header " + name
		}
	}
	return ""
}
