package process

import (
	"errors"
	"fmt"
)

// ErrUnsupported: this operating system has no process groups that we know how to end.
var ErrUnsupported = errors.New("running commands needs Linux or macOS")

// ErrSurvived: processes are still there after they were killed (an uninterruptible one, or another user's).
var ErrSurvived = errors.New("processes survived being killed")

// ExitError is a command that ended with another status than 0.
type ExitError struct {
	// Code is the exit status; -1 if a signal ended it.
	Code int
	// Signal is its name ("killed"), empty if it exited by itself.
	Signal string
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal: " + e.Signal
	}
	return fmt.Sprintf("exit code %d", e.Code)
}
