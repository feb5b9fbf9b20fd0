package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Listen is where a service is reached.
type Listen struct {
	// Address is host:port.
	Address string
	// Cert and Key are files of a certificate and its key; both empty: no TLS.
	Cert, Key string
	// Health is a second address, without TLS, for probes; empty: none.
	Health string
	// Stopping says how long it continues to work after the request to stop.
	Stopping Stopping
}

// Serve runs a service and its HTTP until ctx ends, and then as long as Stopping says. The listeners open first, so that a
// taken port is told at once, and close last, so that probes see "stopping" while work is finished. p is for probes at the
// second address.
func Serve(ctx context.Context, l Listen, h http.Handler, p Probes, run lifecycle.Loop, log *slog.Logger) error {
	main, err := l.open(ctx, log)
	if err != nil {
		return err
	}
	group := lifecycle.New(log)
	if l.Health != "" {
		probes, err := Listen{Address: l.Health}.open(ctx, log)
		if err != nil {
			return errors.Join(err, main.Close())
		}
		group.Go("probes", func(lctx context.Context) error {
			return httpx.Run(lctx, probes, leaving(ctx, Health(p)), log)
		})
	}
	group.Go("HTTP", func(lctx context.Context) error { return httpx.Run(lctx, main, leaving(ctx, h), log) })
	group.Go("service", run)
	work, cancel := after(ctx, l.Stopping.DrainDelay)
	defer cancel()
	return group.Run(work)
}

func (l Listen) open(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	secure, err := tlsfiles.Server(l.Cert, l.Key)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	log.InfoContext(ctx, "listening", "address", listener.Addr().String(), "tls", secure != nil)
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	return listener, nil
}

// readyTimeout keeps a probe short.
const readyTimeout = 2 * time.Second

// Probes are the questions that a process answers about itself. Each returns nil if all is well.
type Probes struct {
	// Ready says why this process cannot serve. A load balancer acts on it, so a service that one stands
	// before must not count what it shares with its replicas: all of them would be taken out at once.
	Ready func(context.Context) error
	// Healthy says what it needs and does not have now. It is for operators; nil means Ready.
	Healthy func(context.Context) error
}

// Health answers /livez, and /readyz and /health with 503 and the reason while p gives one. It is for services whose only HTTP
// this is, and for addresses that only operators reach.
func Health(p Probes) http.Handler {
	if p.Healthy == nil {
		p.Healthy = p.Ready
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", ask("not ready: ", p.Ready))
	mux.HandleFunc("GET /health", ask("not healthy: ", p.Healthy))
	return mux
}

func ask(no string, question func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := question(ctx); err != nil {
			answer(w, http.StatusServiceUnavailable, no+err.Error())
			return
		}
		answer(w, http.StatusOK, "ok")
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
