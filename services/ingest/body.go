package ingest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/shared/httpserver"
	pauses "github.com/expo-free-agent/freeagent/shared/pause"
)

// tracked remembers why a reader ended, to tell a client's faults from those of the far end that its bytes go to. The HTTP
// client may still read when its answer has come; hence the atomic.
type tracked struct {
	r   io.Reader
	err atomic.Pointer[error]
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil {
		t.err.CompareAndSwap(nil, &err)
	}
	return n, err //nolint:wrapcheck // callers compare with io.EOF
}

// broken is why the bytes ended, if it was before their end.
func (t *tracked) broken() error {
	p := t.err.Load()
	if p == nil || errors.Is(*p, io.EOF) {
		return nil
	}
	return *p
}

func (t *tracked) ended() bool { return t.err.Load() != nil }

// body is a request's body as a stream that may take long: a client that sends nothing for httpserver.StallTimeout is
// given up.
type body struct {
	tracked
	rc  *http.ResponseController
	raw io.ReadCloser
}

// newBody reads r.Body, at most limit bytes of it if that is more than 0.
func newBody(w http.ResponseWriter, r *http.Request, limit int64) *body {
	b := &body{rc: http.NewResponseController(w), raw: r.Body}
	b.r = httpserver.Stall(w, r)
	if limit > 0 {
		b.r = http.MaxBytesReader(nil, io.NopCloser(b.r), limit)
	}
	return b
}

// Read lifts the deadline at the end, since net/http goes on to watch the connection for the client's leaving.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.tracked.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.rc.SetReadDeadline(time.Time{}) // a writer without deadlines has none to lift
	}
	return n, err //nolint:wrapcheck // callers compare with io.EOF
}

// Close is the far end's wish to read no more; the body is net/http's to close.
func (b *body) Close() error { return nil }

// finish reads what follows the last part of a form, so that net/http notices from here on when the client leaves.
func (b *body) finish() error {
	_, err := io.Copy(io.Discard, b)
	return err //nolint:wrapcheck // becomes a refusal
}

const (
	// lingerTime and lingerBytes bound how long a refused client may go on sending.
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 20
)

// early prepares for an answer before the whole body has come: net/http would hold it back to read on.
func (b *body) early() {
	_ = b.rc.EnableFullDuplex() // HTTP/2 has it anyway, a recorder needs it not
}

// linger sends the answer off and reads on for a moment: closing at once would reset the connection, and a client that is
// still sending would see that instead of the answer.
func (b *body) linger() {
	if b.ended() || b.rc.Flush() != nil {
		return
	}
	if err := b.rc.SetReadDeadline(time.Now().Add(lingerTime)); err == nil {
		_, _ = io.CopyN(io.Discard, b.raw, lingerBytes) // an error is the client's leaving: what we wait for
	}
}

// stalled says that a read ended because its deadline passed.
func stalled(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// transferStall is longer than httpserver.StallTimeout, so that a client that stalls is told so by its own deadline first.
const transferStall = 2 * httpserver.StallTimeout

// watchdog ends a transfer in which no byte moves for transferStall, whichever side is the slow one; a pause of this process is
// none. moved is to be called
// with each step, stop at the end.
func watchdog(ctx context.Context) (guarded context.Context, moved, stop func()) {
	guarded, cancel := context.WithCancelCause(ctx)
	s := pauses.NewSilence(transferStall, func() { cancel(errStalled) })
	return guarded, s.Touch, func() { s.Stop(); cancel(nil) }
}

// movingReader tells of each read that gave bytes.
type movingReader struct {
	io.Reader
	moved func()
}

func (m movingReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.moved()
	}
	return n, err //nolint:wrapcheck // callers compare with io.EOF
}

// patient is an answer that may take long: each write has a deadline of its own, so that a client that takes nothing holds
// nothing up for ever.
type patient struct {
	http.ResponseWriter
	rc    *http.ResponseController
	moved func()
	last  time.Time
}

// deadlineStep is how often the deadline is moved while bytes flow.
const deadlineStep = time.Second

func newPatient(w http.ResponseWriter, moved func()) *patient {
	return &patient{ResponseWriter: w, rc: http.NewResponseController(w), moved: moved}
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patient) Write(data []byte) (int, error) {
	if now := time.Now(); now.Sub(p.last) > deadlineStep {
		p.last = now
		_ = p.rc.SetWriteDeadline(now.Add(httpserver.StallTimeout)) // a recorder has no slow client either
	}
	n, err := p.ResponseWriter.Write(data)
	if n > 0 && p.moved != nil {
		p.moved()
	}
	return n, err //nolint:wrapcheck // a pass-through
}

// done gives the connection back without a deadline: the next request on it starts with a clean slate.
func (p *patient) done() { _ = p.rc.SetWriteDeadline(time.Time{}) }
