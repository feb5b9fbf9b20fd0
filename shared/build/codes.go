package build

import (
	"context"
	"errors"
	"fmt"
)

// codes pairs each sentinel with the word that crosses the wire. A word is a promise: add, never change.
//
//nolint:gochecknoglobals // a constant table
var codes = []struct {
	err  error
	code string
}{
	{ErrNotFound, "build_not_found"},
	{ErrExpired, "build_expired"},
	{ErrInvalid, "invalid_request"},
	{ErrFinished, "build_finished"},
	{ErrTaken, "build_taken"},
	{ErrNotQueued, "build_not_queued"},
	{ErrLeaseLost, "lease_lost"},
	{ErrQueueFull, "queue_full"},
	{ErrWorkerUnknown, "worker_not_found"},
	{ErrNotEligible, "worker_not_eligible"},
	{ErrNoSlot, "no_free_slot"},
	{ErrObjectNotFound, "object_not_found"},
	{ErrObjectCorrupt, "object_corrupt"},
	{ErrTooLarge, "too_large"},
	{ErrNoSpace, "no_space"},
	{ErrBadArchive, "bad_archive"},
	{ErrUnauthorized, "not_authorized"},
	{ErrRebuilding, "rebuild_in_progress"},
	{ErrUnavailable, "unavailable"},
}

// CodeInternal stands for an error that no sentinel does: its text stays in the log.
const CodeInternal = "internal"

// Code returns the machine code of an error: that of the sentinel it wraps, "unavailable" for a deadline or a
// service that stops, else "internal".
func Code(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "unavailable"
	}
	return CodeInternal
}

// remoteError is a far service's refusal, or a sentinel that matches a wider one. It matches its sentinel with errors.Is; its text is
// fit for users.
type remoteError struct {
	text     string
	sentinel error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.sentinel }

// FromCode is the inverse of Code. Unknown codes come from newer services and match no sentinel.
func FromCode(code, text string) error {
	for _, c := range codes {
		if c.code == code {
			return &remoteError{text: text, sentinel: c.err}
		}
	}
	return fmt.Errorf("%s: %s", code, text)
}
