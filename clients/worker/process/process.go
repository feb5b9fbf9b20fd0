package process

import (
	"io"
	"time"
)

// Marker is the environment variable that all processes of a build attempt carry.
const Marker = "FREEAGENT_BUILD_ATTEMPT"

// DefaultGrace is the time between SIGTERM and SIGKILL: long enough to delete a keychain, shut a simulator down, give a lock
// back.
const DefaultGrace = 10 * time.Second

// Spec is a command to run.
type Spec struct {
	// Argv: the program and its arguments, at least one.
	Argv []string
	Dir  string
	// Env is the whole environment but Marker; nothing of ours is added.
	Env []string
	// Mark is Marker's value, one for each build attempt.
	Mark string
	// Grace is the time between SIGTERM and SIGKILL when ctx ends; 0 kills at once.
	Grace time.Duration
	// Output gets stdout and stderr; nil discards them.
	Output io.Writer
}
