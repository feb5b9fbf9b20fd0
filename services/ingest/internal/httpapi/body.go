package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
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

// Body is a request's body as a stream that may take long. A client that sends nothing for httpx.StallTimeout is disconnected.
type Body struct {
	ErrTrackingReader

	rc  *http.ResponseController
	raw io.ReadCloser
}

// NewBody reads r.Body, at most limit bytes of it if that is more than 0.
func NewBody(w http.ResponseWriter, r *http.Request, limit int64) *Body {
	b := &Body{rc: http.NewResponseController(w), raw: r.Body}
	stalling := httpx.NewStallReader(w, r, httpx.StallTimeout)
	context.AfterFunc(r.Context(), stalling.Stop)
	b.r = stalling
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
func (b *Body) OnProgress(moved func()) { b.r = httpx.ProgressReader{Reader: b.r, Moved: moved} }

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

// BodyError tells a body that is too large, or stalls, from one that ends early.
func BodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return httpx.Refuse(build.ErrTooLarge, MsgSourceLarge)
	case httpx.IsStalled(err):
		return fmt.Errorf("read the form: %w", httpx.ErrStalled)
	}
	return httpx.Refuse(build.ErrInvalid, MsgFormCut)
}
