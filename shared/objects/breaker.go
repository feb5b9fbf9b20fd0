package objects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"
)

// ErrAway says that the store does not answer, or answers that it cannot work now.
var ErrAway = errors.New("object store is away")

const (
	// A store that failed so often in a row is not asked for a while, so that requests fail at once instead of waiting in
	// line for one time limit after the other. Five are the tries of one request.
	awayAfter = 5
	awayFor   = 3 * time.Second
)

var (
	errServer = errors.New("the store's own fault")
	// errGivenUp: the asker left, which says nothing about the store.
	errGivenUp = errors.New("given up")
)

// breaker is a transport that stops asking a store that is away, and lets one request try again after a while. Judged here, a
// client that breaks off its upload cannot be mistaken for a store that is away.
type breaker struct {
	next    http.RoundTripper
	circuit *gobreaker.CircuitBreaker[*http.Response]
}

var _ http.RoundTripper = (*breaker)(nil)

func newBreaker(next http.RoundTripper, endpoint string, log *slog.Logger) *breaker {
	return &breaker{next: next, circuit: gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{ //nolint:bodyclose // passed on
		Name: endpoint, MaxRequests: 1, Timeout: awayFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= awayAfter },
		IsExcluded:  func(err error) bool { return errors.Is(err, errGivenUp) },
		OnStateChange: func(endpoint string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				log.Warn("object store unavailable; requests to it are paused", "endpoint", endpoint, "wait", awayFor)
			case gobreaker.StateClosed:
				log.Info("object store available again", "endpoint", endpoint)
			case gobreaker.StateHalfOpen:
			}
		},
	})}
}

// insist marks requests that clean up: they are sent whatever is thought of the store.
type insist struct{}

// RoundTrip implements http.RoundTripper.
func (b *breaker) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Value(insist{}) != nil {
		return b.next.RoundTrip(req)
	}
	resp, err := b.circuit.Execute(func() (*http.Response, error) {
		resp, err := b.next.RoundTrip(req)
		switch {
		case err != nil:
			return nil, judge(req.Context(), err)
		case resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusInsufficientStorage &&
			resp.StatusCode != http.StatusNotImplemented:
			return resp, errServer
		}
		return resp, nil
	})
	switch {
	case err == nil, errors.Is(err, errServer):
		return resp, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return nil, fmt.Errorf("%w, and is asked again in a moment", ErrAway)
	}
	return nil, err
}

// judge tells a store that did not answer in its time from an asker that did not wait.
func judge(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause != nil && !errors.Is(cause, context.DeadlineExceeded) && !errors.Is(cause, ErrStalled) {
		return fmt.Errorf("%w: %w", errGivenUp, err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// Away says that the store is not being asked at present, because it has failed several times in a row; nil otherwise. A
// request after a few seconds finds out whether it is back.
func (s *S3) Away() error {
	if s.breaker.circuit.State() == gobreaker.StateOpen {
		return fmt.Errorf("object store at %s: %w", s.cfg.Endpoint, ErrAway)
	}
	return nil
}
