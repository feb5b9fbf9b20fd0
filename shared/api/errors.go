package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

var (
	// ErrBaseURL means that the server's address cannot be used.
	ErrBaseURL = errors.New("server address")
	// ErrUnreachable means no answer from the server; the text says what to try.
	ErrUnreachable = errors.New("cannot reach the server")
	// ErrCorrupt means that what arrived is not what was promised.
	ErrCorrupt = errors.New("the bytes do not match their SHA-256")
	// ErrStalled means that no byte moved for Config.Stall.
	ErrStalled = errors.New("the transfer stalled: no byte moved for too long")
	// ErrNoResult means that the build has none, or none yet.
	ErrNoResult = errors.New("no result")

	errNoAnswer = fmt.Errorf("no answer within %s", requestTimeout)
)

// Error is a refusal by the server. It matches the sentinel of its code (package build) with errors.Is.
type Error struct {
	Problem
	// RetryAfter is what the server asked for, 0 if nothing.
	RetryAfter time.Duration
}

// Unwrap returns the sentinel behind the code; where there is none, as from a proxy, that of the status.
func (e *Error) Unwrap() error {
	if sentinel := errors.Unwrap(build.FromCode(e.Code, e.Detail)); sentinel != nil {
		return sentinel
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return build.ErrUnauthorized
	case http.StatusRequestEntityTooLarge:
		return build.ErrTooLarge
	case http.StatusInsufficientStorage:
		return build.ErrNoSpace
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return build.ErrUnavailable
	}
	return nil
}

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// maxRefusal bounds what is read of an error's body.
const maxRefusal = 64 << 10

func refusal(resp *http.Response) error {
	e := &Error{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil || json.Unmarshal(body, &e.Problem) != nil || e.Detail == "" {
		e.Problem = Problem{Detail: "the server answered " + resp.Status}
	}
	e.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// unreachable says why there was no answer. If the context ended, its cause is the reason.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, ErrStalled) || errors.Is(cause, context.Canceled) {
			return cause
		}
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.BaseURL(), cause)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w at %s: is it running? Start one with `freeagent up`, or name it with --server or FREEAGENT_URL (%w)",
			ErrUnreachable, c.BaseURL(), op.Err)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.BaseURL(), withoutURL(err))
}

// withoutURL takes the address out of an error: that of a presigned transfer is a secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
