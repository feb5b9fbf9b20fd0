package httpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// drainTimeout is how long a stop waits for requests under way.
	drainTimeout = 15 * time.Second
)

// Run serves h on l until ctx ends. Then it accepts no new connections and waits for requests under way, at most 15 s. It closes l.
//
// Headers are bounded. There is no total time limit on bodies, since a large upload over a slow line is legitimate; bodies have stall
// timeouts, see StallReader and DeadlineWriter.
func Run(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	return shutdown(ctx, srv, cut, failed)
}

func shutdown(ctx context.Context, srv *http.Server, cut context.CancelFunc, failed <-chan error) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	// Followers of logs never finish: the handler's own stop ends their requests.
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		cut()
		err = srv.Close()
	}
	if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("stop the HTTP server: %w", err)
	}
	return nil
}
