// Package httpserver runs an HTTP server the way every service of ours needs it: bounded headers, no total time limit on
// bodies (a large upload over a slow line is honest; each body has a stall timeout of its own, see Stall), and a stop that
// lets requests finish.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/pause"
)

const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// drainTimeout is how long a stop waits for requests under way.
	drainTimeout = 15 * time.Second
)

// Run serves h on l until ctx ends, then takes no new connections and waits for requests under way; what is left after 15 s
// is cut. It closes l.
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
	// Followers of logs never finish by themselves: their requests are cancelled at once by whoever listens on the
	// handler's own stop; the rest gets its time.
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

// StallTimeout ends a transfer in which no byte moves.
const StallTimeout = time.Minute

// refresh is how often a deadline is moved while bytes flow: often enough to be honest, rarely enough to cost nothing.
const refresh = time.Second

// Stall returns r's body as a reader whose Read fails with os.ErrDeadlineExceeded after StallTimeout without a byte. The
// time in which this process is paused does not count: the client could not get rid of its bytes.
func Stall(w http.ResponseWriter, r *http.Request) io.Reader {
	rc := http.NewResponseController(w)
	// A deadline of the connection could not tell a pause. It is set when the client is given up, which wakes the read; a
	// writer without deadlines (a test's recorder) has no slow client either.
	s := pause.NewSuspendedSilence(StallTimeout, func() { _ = rc.SetReadDeadline(time.Now()) })
	context.AfterFunc(r.Context(), s.Stop) // the connection's next request has a read of its own
	return &stallReader{body: r.Body, silence: s}
}

type stallReader struct {
	body    io.Reader
	silence *pause.Silence
}

func (s *stallReader) Read(p []byte) (int, error) {
	s.silence.Touch()
	defer s.silence.Suspend()
	return s.body.Read(p)
}

// Copy sends a body to the client with a write deadline that moves on as long as the client takes bytes.
func Copy(w http.ResponseWriter, body io.Reader) (int64, error) {
	rc, buf := http.NewResponseController(w), make([]byte, 128<<10)
	n, err := io.CopyBuffer(&stallWriter{rc: rc, w: w}, body, buf)
	// The next request on the connection starts with a clean slate.
	if e := rc.SetWriteDeadline(time.Time{}); e != nil && !errors.Is(e, http.ErrNotSupported) {
		err = errors.Join(err, e)
	}
	return n, err
}

type stallWriter struct {
	rc   *http.ResponseController
	w    io.Writer
	last time.Time
}

func (s *stallWriter) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(s.last) > refresh {
		s.last = now
		if err := s.rc.SetWriteDeadline(now.Add(StallTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return 0, fmt.Errorf("set write deadline: %w", err)
		}
	}
	return s.w.Write(p)
}
