package rpc

import "github.com/expo-free-agent/freeagent/shared/build"

// Code is build.Code.
func Code(err error) string { return build.Code(err) }

<<<<<<< HEAD
// FromCode is build.FromCode.
=======
// codes pairs each sentinel with the word that crosses the wire. A word is a promise: add, never change.
var codes = []struct {
	err  error
	code string
}{
	{build.ErrNotFound, "build_not_found"},
	{build.ErrInvalid, "invalid_request"},
	{build.ErrFinished, "build_finished"},
	{build.ErrTaken, "build_taken"},
	{build.ErrNotQueued, "build_not_queued"},
	{build.ErrLeaseLost, "lease_lost"},
	{build.ErrQueueFull, "queue_full"},
	{build.ErrWorkerUnknown, "worker_not_found"},
	{build.ErrNotEligible, "worker_not_eligible"},
	{build.ErrNoSlot, "no_free_slot"},
	{build.ErrObjectNotFound, "object_not_found"},
	{build.ErrObjectCorrupt, "object_corrupt"},
	{build.ErrTooLarge, "too_large"},
	{build.ErrNoSpace, "no_space"},
	{build.ErrBadArchive, "bad_archive"},
	{build.ErrUnauthorized, "not_authorized"},
	{build.ErrUnavailable, "unavailable"},
}

const codeInternal = "internal"

// Code gives the machine code of an error: that of the sentinel it wraps, "unavailable" for a deadline or a
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
	return codeInternal
}

// remoteError is a far service's refusal. It matches its sentinel with errors.Is; its text is fit for users.
type remoteError struct {
	text     string
	sentinel error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.sentinel }

// FromCode is the inverse of Code. Unknown codes come from newer services and match no sentinel.
>>>>>>> busauth
func FromCode(code, text string) error {
	return build.FromCode(code, text)
}
