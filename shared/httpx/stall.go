package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/shared/pause"
)

// StallTimeout ends a transfer in which no byte moves, unless a service has a setting for it.
const StallTimeout = time.Minute

// TransferStallTimeout is longer than StallTimeout, so that a client that stalls is told by its own deadline first.
const TransferStallTimeout = 2 * StallTimeout

// ErrStalled means that no byte of a transfer moved for too long.
var ErrStalled = errors.New("the transfer stalled")

// IsStalled reports whether a read of a StallReader failed because of its timeout.
func IsStalled(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// StallReader reads the body of a request. A read that gets no byte for a time fails with os.ErrDeadlineExceeded. Time in which this
// process is paused does not count: the client could not send its bytes.
type StallReader struct {
	body    io.Reader
	silence *pause.Silence
}

// NewStallReader returns a reader of r's body. Call Stop before the handler returns: the connection's next request has a read of its
// own.
func NewStallReader(w http.ResponseWriter, r *http.Request, timeout time.Duration) *StallReader {
	rc := http.NewResponseController(w)
	// A deadline of the connection cannot tell a pause. It is set when the client has stalled, which wakes the read. A writer without
	// deadlines (a recorder) has no slow client.
	return &StallReader{body: r.Body, silence: pause.NewSuspendedSilence(timeout, func() { _ = rc.SetReadDeadline(time.Now()) })}
}

// Read implements io.Reader.
func (s *StallReader) Read(p []byte) (int, error) {
	s.silence.Touch()
	defer s.silence.Suspend()
	return s.body.Read(p)
}

// Stop ends the timeout.
func (s *StallReader) Stop() { s.silence.Stop() }

// WithStallTimeout returns a context that ends with ErrStalled when no byte of a transfer moves for TransferStallTimeout, whichever
// side is slow. A pause of this process does not count. Call moved after each step, and stop at the end.
func WithStallTimeout(ctx context.Context) (guarded context.Context, moved, stop func()) {
	return pause.WithSilence(ctx, TransferStallTimeout, ErrStalled)
}

// ProgressReader calls Moved after each read that returns bytes.
type ProgressReader struct {
	io.Reader

	Moved func()
}

// Read implements io.Reader.
func (m ProgressReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.Moved()
	}
	return n, err
}

// DeadlineWriter is an answer that may take long. Each write has a deadline of its own, so that a slow client is served and one that
// reads nothing is disconnected.
type DeadlineWriter struct {
	http.ResponseWriter

	rc      *http.ResponseController
	timeout time.Duration
	moved   func()
	last    time.Time
}

// NewDeadlineWriter returns a writer whose writes may take timeout. It calls moved after each write, unless moved is nil. Call Done or
// Finish at the end.
func NewDeadlineWriter(w http.ResponseWriter, timeout time.Duration, moved func()) *DeadlineWriter {
	return &DeadlineWriter{ResponseWriter: w, rc: http.NewResponseController(w), timeout: timeout, moved: moved}
}

// Unwrap is for http.ResponseController.
func (p *DeadlineWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements io.Writer.
func (p *DeadlineWriter) Write(data []byte) (int, error) {
	// The deadline moves now and then, often enough beside the timeout and rarely enough to cost nothing.
	if now := time.Now(); now.Sub(p.last) > min(time.Second, p.timeout/8) {
		p.last = now
		_ = p.rc.SetWriteDeadline(now.Add(p.timeout)) // a recorder has no slow client
	}
	n, err := p.ResponseWriter.Write(data)
	if n > 0 && p.moved != nil {
		p.moved()
	}
	return n, err
}

// Flush sends what is buffered.
func (p *DeadlineWriter) Flush() error {
	if err := p.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("flush the answer: %w", err)
	}
	return nil
}

// Done leaves the connection without a deadline for its next request.
func (p *DeadlineWriter) Done() { _ = p.rc.SetWriteDeadline(time.Time{}) }
