package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/httpserver"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Listen is where a service is reached.
type Listen struct {
	// Address is host:port.
	Address string
	// Cert and Key are files of a certificate and its key; both empty: no TLS.
	Cert, Key string
}

// Serve runs a service and its HTTP until ctx ends. The listener opens first, so that a taken port is told at once, and
// closes last, so that probes see "stopping" while work is finished.
func Serve(ctx context.Context, l Listen, h http.Handler, run lifecycle.Loop, log *slog.Logger) error {
	secure, err := tlsfiles.Server(l.Cert, l.Key)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.InfoContext(ctx, "listening", "address", listener.Addr().String(), "tls", secure != nil)
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	group := lifecycle.New(log)
	group.Go("HTTP", func(ctx context.Context) error { return httpserver.Run(ctx, listener, h, log) })
	group.Go("service", run)
	return group.Run(ctx)
}

// readyTimeout keeps a probe short.
const readyTimeout = 2 * time.Second

// Health answers /livez, and /readyz with 503 and the reason while ready gives one or after stopping has ended. It is for
// services whose only HTTP this is.
func Health(stopping context.Context, ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if stopping.Err() != nil {
			answer(w, http.StatusServiceUnavailable, "stopping")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := ready(ctx); err != nil {
			answer(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
