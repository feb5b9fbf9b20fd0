package process

import (
	"errors"
	"fmt"
)

// ErrUnsupported means that this package cannot end processes on this operating system.
var ErrUnsupported = errors.New("running commands needs Linux or macOS")

// ErrSurvived means that processes still run after they were killed (uninterruptible ones, or another user's).
var ErrSurvived = errors.New("processes survived being killed")

// ExitError is a command that exited with a status other than 0.
type ExitError struct {
	// Code is the exit status; -1 if a signal ended it.
	Code int
	// Signal is its name ("killed"), empty if no signal ended it.
	Signal string
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal: " + e.Signal
	}
	return fmt.Sprintf("exit code %d", e.Code)
}
