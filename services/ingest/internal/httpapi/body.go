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

// ErrTrackingReader records why a reader ended, to tell a client's errors from those of the service
// that receives the bytes. The HTTP client may still read after the response; hence the atomic.
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

// Broken returns the error that ended the reader early, nil if none did.
func (t *ErrTrackingReader) Broken() error {
	p := t.err.Load()
	if p == nil || errors.Is(*p, io.EOF) {
		return nil
	}
	return *p
}

// Ended reports whether the reader has returned an error or io.EOF.
func (t *ErrTrackingReader) Ended() bool { return t.err.Load() != nil }

// Body is a request body of any duration. A client that sends nothing for httpx.StallTimeout is
// disconnected.
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

// Read clears the deadline at the end, since net/http still watches the connection for a
// disconnect.
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

// Drain reads what follows the last part of a form. From then on net/http notices a disconnect.
func (b *Body) Drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

const (
	// drainTime and drainBytes bound how long a client may continue to send after an error response.
	drainTime  = 2 * time.Second
	drainBytes = 256 << 20
)

// EnableFullDuplex allows a response before the whole body has arrived. net/http would hold it back
// to read the rest.
func (b *Body) EnableFullDuplex() {
	_ = b.rc.EnableFullDuplex() // HTTP/2 always has it, and a recorder does not need it
}

// FlushAndDrain sends the response and reads on for a moment. Closing at once would reset the
// connection, and a client that is still sending would see the reset instead of the response.
func (b *Body) FlushAndDrain() {
	if b.Ended() || b.rc.Flush() != nil {
		return
	}
	if err := b.rc.SetReadDeadline(time.Now().Add(drainTime)); err == nil {
		_, _ = io.CopyN(io.Discard, b.raw, drainBytes) // an error means that the client has left
	}
}

// BodyError returns the refusal for a body that is too large, has stalled or ends early.
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
