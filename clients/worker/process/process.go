package process

import (
	"io"
	"time"
)

// Marker is the environment variable that all processes of a build attempt carry.
const Marker = "FREEAGENT_BUILD_ATTEMPT"

// Grace is the time between SIGTERM and SIGKILL. A cancelled build is to be gone within a second, so it is short.
const Grace = 400 * time.Millisecond

// Spec is a command to run.
type Spec struct {
	// Argv: the program and its arguments, at least one.
	Argv []string
	Dir  string
	// Env is the whole environment but Marker; nothing of ours is added.
	Env []string
	// Mark is Marker's value, one for each build attempt.
	Mark string
	// Output gets stdout and stderr; nil discards them.
	Output io.Writer
}
