package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

var (
	// ErrBaseURL means that the server's address cannot be used.
	ErrBaseURL = errors.New("server address")
	// ErrUnreachable means that the server did not answer; the text says what to try.
	ErrUnreachable = errors.New("cannot reach the server")
	// ErrCorrupt means that the bytes that arrived are not those that were announced.
	ErrCorrupt = errors.New("the bytes do not match their SHA-256")
	// ErrStalled means that no byte moved for Config.StallTimeout.
	ErrStalled = errors.New("the transfer stalled: no byte moved for too long")
	// ErrNoResult means that the build has no result, or none yet.
	ErrNoResult = errors.New("no result")
	// ErrNoArtifacts means that the build kept no files besides its result.
	ErrNoArtifacts = errors.New("no build artifacts")

	errNoAnswer = fmt.Errorf("no answer within %s", requestTimeout)
)

// Error is a refusal by the server. errors.Is matches it with the sentinel of its code in package build.
type Error struct {
	Problem
	// RetryAfter is what the server asked for, 0 if nothing.
	RetryAfter time.Duration
}

// Unwrap returns the sentinel of the code. Without one, as from a proxy, it is that of the status.
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

// maxErrorBody bounds what is read of an error's body.
const maxErrorBody = 64 << 10

// errorOf reads the problem in an answer; one that is not ours is described by its status.
func errorOf(resp *http.Response) error {
	e := &Error{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil || json.Unmarshal(body, &e.Problem) != nil || e.Detail == "" {
		e.Problem = Problem{Detail: "the server answered " + resp.Status}
	}
	e.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// withoutURL removes the address from an error: that of a presigned transfer is a secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
