package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpserver"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// ErrTrackingReader remembers why a reader ended, to tell a client's faults from those of the service that its bytes go to. The HTTP
// client may still read when its answer has come; hence the atomic.
type ErrTrackingReader struct {
	r   io.Reader
	err atomic.Pointer[error]
}

// TrackErrors returns a reader that remembers why r ended.
func TrackErrors(r io.Reader) *ErrTrackingReader { return &ErrTrackingReader{r: r} }

func (t *ErrTrackingReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil {
		t.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Broken returns why the bytes ended, if it was before their end.
func (t *ErrTrackingReader) Broken() error {
	p := t.err.Load()
	if p == nil || errors.Is(*p, io.EOF) {
		return nil
	}
	return *p
}

// Ended says whether the reader has returned an error or the end.
func (t *ErrTrackingReader) Ended() bool { return t.err.Load() != nil }

// Body is a request's body as a stream that may take long. A client that sends nothing for httpserver.StallTimeout is disconnected.
type Body struct {
	ErrTrackingReader

	rc  *http.ResponseController
	raw io.ReadCloser
}

// NewBody reads r.Body, at most limit bytes of it if that is more than 0.
func NewBody(w http.ResponseWriter, r *http.Request, limit int64) *Body {
	b := &Body{rc: http.NewResponseController(w), raw: r.Body}
	b.r = httpserver.Stall(w, r)
	if limit > 0 {
		b.r = http.MaxBytesReader(nil, io.NopCloser(b.r), limit)
	}
	return b
}

// Read lifts the deadline at the end, since net/http goes on to watch the connection for the client's leaving.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ErrTrackingReader.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.rc.SetReadDeadline(time.Time{}) // a writer without deadlines has none to lift
	}
	return n, err
}

// Close does nothing: net/http closes the body.
func (b *Body) Close() error { return nil }

// OnProgress calls moved after each read that returns bytes.
func (b *Body) OnProgress(moved func()) { b.r = ProgressReader{b.r, moved} }

// Drain reads what follows the last part of a form, so that net/http notices from here on when the client leaves.
func (b *Body) Drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

const (
	// lingerTime and lingerBytes bound how long a refused client may go on sending.
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 20
)

// EnableFullDuplex allows an answer before the whole body has come: net/http would hold it back to read on.
func (b *Body) EnableFullDuplex() {
	_ = b.rc.EnableFullDuplex() // HTTP/2 always has it, and a recorder does not need it
}

// Linger sends the answer and reads on for a moment. To close at once would reset the connection, and a client that is still
// sending would see that instead of the answer.
func (b *Body) Linger() {
	if b.Ended() || b.rc.Flush() != nil {
		return
	}
	if err := b.rc.SetReadDeadline(time.Now().Add(lingerTime)); err == nil {
		_, _ = io.CopyN(io.Discard, b.raw, lingerBytes) // an error means that the client has left
	}
}

// IsStalled says whether a read ended because its deadline passed.
func IsStalled(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// BodyError tells a body that is too large, or stalls, from one that ends early.
func BodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return Refuse(build.ErrTooLarge, MsgSourceLarge)
	case IsStalled(err):
		return fmt.Errorf("read the form: %w", ErrStalled)
	}
	return Refuse(build.ErrInvalid, MsgFormCut)
}

// transferStall is longer than httpserver.StallTimeout, so that a client that stalls hears it from its own deadline first.
const transferStall = 2 * httpserver.StallTimeout

// WithStallTimeout returns a context that ends with ErrStalled when no byte of a transfer moves for two minutes, whichever side is
// slow. A pause of this process does not count. Call moved at each step, and stop at the end.
func WithStallTimeout(ctx context.Context) (guarded context.Context, moved, stop func()) {
	guarded, cancel := context.WithCancelCause(ctx)
	s := pause.NewSilence(transferStall, func() { cancel(ErrStalled) })
	return guarded, s.Touch, func() { s.Stop(); cancel(nil) }
}

// ProgressReader calls Moved after each read that returns bytes.
type ProgressReader struct {
	io.Reader

	Moved func()
}

func (m ProgressReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.Moved()
	}
	return n, err
}

// DeadlineWriter is an answer that may take long: each write has a deadline of its own, so that a client that reads nothing does not
// hold resources for ever.
type DeadlineWriter struct {
	http.ResponseWriter

	rc    *http.ResponseController
	moved func()
	last  time.Time
}

// deadlineStep is how often the deadline is moved while bytes flow.
const deadlineStep = time.Second

// NewDeadlineWriter returns a writer that calls moved after each write, unless it is nil. Call Done at the end.
func NewDeadlineWriter(w http.ResponseWriter, moved func()) *DeadlineWriter {
	return &DeadlineWriter{ResponseWriter: w, rc: http.NewResponseController(w), moved: moved}
}

// Unwrap is for http.ResponseController.
func (p *DeadlineWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *DeadlineWriter) Write(data []byte) (int, error) {
	if now := time.Now(); now.Sub(p.last) > deadlineStep {
		p.last = now
		_ = p.rc.SetWriteDeadline(now.Add(httpserver.StallTimeout)) // a recorder has no slow client either
	}
	n, err := p.ResponseWriter.Write(data)
	if n > 0 && p.moved != nil {
		p.moved()
	}
	return n, err
}

// Done leaves the connection without a deadline for its next request.
func (p *DeadlineWriter) Done() { _ = p.rc.SetWriteDeadline(time.Time{}) }
