package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/pause"
)

// again decides whether what broke is tried once more, and waits before it is.
type again struct {
	client *Client
	// moved is when something last came of it.
	moved time.Time
	wait  time.Duration
}

const (
	firstWait = 100 * time.Millisecond
	maxWait   = 5 * time.Second
)

func (c *Client) again() *again { return &again{client: c, moved: time.Now(), wait: firstWait} }

// progress says that bytes came: patience begins anew.
func (a *again) progress() { a.moved, a.wait = time.Now(), firstWait }

// after returns nil when it is time for another try, and the error to give up with otherwise.
func (a *again) after(ctx context.Context, err error) error {
	if !worthAnotherTry(ctx, err) {
		return err
	}
	wait := a.wait/2 + rand.N(a.wait)
	var refused *Error
	if errors.As(err, &refused) {
		wait = max(wait, refused.RetryAfter)
	}
	a.wait = min(2*a.wait, maxWait)
	if time.Since(a.moved)+wait > a.client.cfg.Patience {
		return err
	}
	if a.client.cfg.Retrying != nil {
		a.client.cfg.Retrying(err, wait)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

var (
	// errWrite: the bytes came, and could not be written here.
	errWrite = errors.New("write what was downloaded")
	// errRead: what is to be sent cannot be read.
	errRead = errors.New("read what is uploaded")
)

// worthAnotherTry: the line broke, or the server was busy; not what it refused for good, and not our own disk's fault.
func worthAnotherTry(ctx context.Context, err error) bool {
	var stranger *tls.CertificateVerificationError
	var refused *Error
	var nobody nobodyThere
	switch {
	case ctx.Err() != nil, errors.As(err, &nobody), errors.Is(err, errWrite), errors.Is(err, errRead), errors.Is(err, ErrCorrupt), errors.As(err, &stranger),
		errors.Is(err, errRedirects):
		return false
	case errors.As(err, &refused):
		if refused.Code == codeCorrupt || refused.Code == codeNoObject { // the bytes are gone, whatever the status
			return false
		}
		return temporary(refused.Status) || refused.Code == CodeOffset || refused.Code == CodeUnderWay
	}
	return true
}

// The codes of an object that is missing or damaged in the store.
const (
	codeCorrupt  = "object_corrupt"
	codeNoObject = "object_not_found"
)

func temporary(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	case http.StatusInsufficientStorage, http.StatusNotImplemented:
		return false
	}
	return status >= http.StatusInternalServerError
}

// nobodyThere: no connection came about. Of the first call it says that the address is wrong or the server down, which people want
// to hear at once; later it is a server that restarts.
type nobodyThere struct{ error }

func (e nobodyThere) Unwrap() error { return e.error }

func unlessNobodyThere(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nobodyThere{err}
	}
	return err
}

// stall returns a context that ends with ErrStalled unless moved is called now and then.
func (c *Client) stall(ctx context.Context) (_ context.Context, moved, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := pause.NewSilence(c.cfg.Stall, func() { cancel(ErrStalled) })
	return ctx, s.Touch, func() { s.Stop(); cancel(nil) }
}

// movingReader tells of progress.
type movingReader struct {
	io.Reader

	moved func(n int)
}

func (m movingReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.moved(n)
	}
	return n, err
}
