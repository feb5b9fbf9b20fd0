package api

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// retrier decides whether another try is worth it, and waits before it. Its wait grows until progress.
type retrier struct {
	conn *conn
	// progressAt is when something last came of it.
	progressAt time.Time
	waits      backoff.Retries
}

const (
	minWait = 100 * time.Millisecond
	maxWait = 5 * time.Second
)

func (c *conn) newRetrier() *retrier {
	return &retrier{conn: c, progressAt: time.Now(), waits: backoff.Retries{First: minWait, Most: maxWait}}
}

// progress starts Config.RetryFor anew.
func (r *retrier) progress() {
	r.progressAt = time.Now()
	r.waits.Reset()
}

// next waits and returns nil when it is time for another try. Otherwise it returns the error to give up with.
func (r *retrier) next(ctx context.Context, err error) error {
	if !retryable(ctx, err) {
		return err
	}
	wait := r.waits.Next()
	var refused *Error
	if errors.As(err, &refused) {
		wait = max(wait, refused.RetryAfter)
	}
	if time.Since(r.progressAt)+wait > r.conn.cfg.RetryFor {
		return err
	}
	if r.conn.cfg.OnRetry != nil {
		r.conn.cfg.OnRetry(err, wait)
	}
	return backoff.Sleep(ctx, wait)
}

// retry calls f until it succeeds, or fails in a way that another try does not mend.
func (c *conn) retry(ctx context.Context, f func() error) error {
	for r := c.newRetrier(); ; {
		err := f()
		if err == nil {
			return nil
		}
		if err := r.next(ctx, err); err != nil {
			return err
		}
	}
}

var (
	// errWrite: the bytes arrived and could not be written here.
	errWrite = errors.New("write what was downloaded")
	// errRead: the bytes to send cannot be read.
	errRead = errors.New("read what is uploaded")
)

// retryable reports whether the connection broke or the server was busy. What the server refused for good and what the local disk
// refused is not retryable.
func retryable(ctx context.Context, err error) bool {
	var stranger *tls.CertificateVerificationError
	var refused *Error
	var down serverDownError
	switch {
	case ctx.Err() != nil, errors.As(err, &down), errors.Is(err, errWrite), errors.Is(err, errRead), errors.Is(err, ErrCorrupt), errors.As(err, &stranger),
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

// Codes of an object that is missing or damaged in the store.
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

// serverDownError: the first request of an operation found nobody listening. The address is wrong or the server is down, and people
// want to hear that at once. Later in an operation the same error means a restart, which is waited for.
type serverDownError struct{ error }

func (e serverDownError) Unwrap() error { return e.error }

func failFastIfDown(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return serverDownError{err}
	}
	return err
}
