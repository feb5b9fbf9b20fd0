package worker

import (
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/build"
)

var (
	// ErrRefused says that the server does not let this worker in; trying again will not help. The text says what would.
	ErrRefused = errors.New("the server refuses this worker")
	// ErrStateInUse says that another worker runs with the same state directory.
	ErrStateInUse = errors.New("state directory is in use by another worker")
	// ErrConfig says that the configuration cannot be; the text names every fault.
	ErrConfig = errors.New("worker configuration")
)

// Why a build's work ended before its time: causes of its contexts.
var (
	errLeaseLost = errors.New("the lease is lost")
	errCancelled = errors.New("cancelled")
	errHandBack  = errors.New("the worker stops")
	errTimedOut  = errors.New("timed out")
	errGaveUp    = errors.New("the worker stopped before the scheduler answered")
	errNewName   = errors.New("the server gave this worker a new identity")
)

// maxRefusals is how often in a row a request is refused, for reasons that this worker does not know, until that is final.
const maxRefusals = 8

// refusals counts the refusals of one request.
type refusals int

// final reports whether repeating the request will not help. Silence is never final: the scheduler restarts, or the bus is
// away.
func (n *refusals) final(err error) bool {
	switch {
	case errors.Is(err, build.ErrUnavailable):
		return false
	case build.Code(err) != build.CodeInternal: // it says what is wrong with the request
		return true
	}
	*n++
	return *n >= maxRefusals
}

// refusedError is a request about an attempt that was refused for good.
type refusedError struct {
	what string
	err  error
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the %s was not accepted: %v", e.what, e.err)
}
func (e *refusedError) Unwrap() error { return e.err }
