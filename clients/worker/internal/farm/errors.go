package farm

import (
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// IsNotHeld reports whether a refusal means that this worker does not hold the attempt, or has not got it.
func IsNotHeld(err error) bool {
	for _, e := range []error{build.ErrLeaseLost, build.ErrFinished, build.ErrNotFound, build.ErrTaken, build.ErrNotQueued} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// maxInternalErrors is how many internal errors in a row a request may have before it counts as refused.
const maxInternalErrors = 8

// Refusals decides when repeating a request does not help. The zero value is ready; use one for each request.
type Refusals int

// Final reports whether the request is refused for good. No answer is never final: the scheduler restarts, or the bus is away.
func (n *Refusals) Final(err error) bool {
	switch {
	case errors.Is(err, build.ErrUnavailable):
		return false
	case build.Code(err) != build.CodeInternal: // it says what is wrong with the request
		return true
	}
	*n++
	return *n >= maxInternalErrors
}

// RefusedError is a request about an attempt that was refused for good.
type RefusedError struct {
	// What was refused, such as "outcome".
	What string
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the %s was not accepted: %v", e.What, e.Err)
}

// Unwrap returns the scheduler's error.
func (e *RefusedError) Unwrap() error { return e.Err }
