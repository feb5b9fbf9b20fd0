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
	// Drain is how long requests are served after the stop was asked for, while /readyz says no: the time that load balancers take
	// to notice. 0 for services that are asked over the bus alone: there they are signed off at once.
	Drain time.Duration
}

// DefaultDrain suits a balancer that looks every second or two.
const DefaultDrain = 5 * time.Second

// Serve runs a service and its HTTP until stopping ends and what is under way is done: not ready first, then, after Drain, no new work,
// then no HTTP. The listener opens first, so that a taken port is told at once, and
// closes last, so that probes see "stopping" while work is finished.
func Serve(stopping context.Context, l Listen, h http.Handler, run lifecycle.Loop, log *slog.Logger) error {
	ctx, end := after(stopping, l.Drain)
	defer end()
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
	group.Go("HTTP", func(ctx context.Context) error { return httpserver.Run(ctx, listener, leaving(stopping, h), log) })
	group.Go("service", run)
	return group.Run(ctx)
}

// after gives a context that ends some time after ctx; end releases it.
func after(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	later, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			end()
		case <-later.Done():
		}
	})
	return later, func() { stop(); end() }
}

// leaving serves as ever, but once stopping has ended it says that it is not ready, and ends each connection with its answer, so
// that clients open their next one elsewhere.
func leaving(stopping context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopping.Err() != nil {
			w.Header().Set("Connection", "close")
			if r.URL.Path == "/readyz" {
				answer(w, http.StatusServiceUnavailable, "stopping")
				return
			}
		}
		h.ServeHTTP(w, r)
	})
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
