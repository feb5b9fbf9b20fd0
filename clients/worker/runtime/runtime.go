package runtime

import (
	"context"
	"fmt"
	"io"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Job is an attempt of a build as an executor needs it.
type Job struct {
	BuildID string
	Attempt int32
	// Project may be empty.
	Project  string
	Platform build.Platform
	// Profile by name, may be empty.
	Profile string
}

// Key names the attempt, unique on this machine and fit for a file name.
func (j Job) Key() string { return fmt.Sprintf("%s.%d", j.BuildID, j.Attempt) }

// Executor makes workspaces. It is safe for concurrent use.
type Executor interface {
	// Name is what people call it: "shell".
	Name() string
	// Sweep ends and removes what an earlier process left. It is called once, before the first Prepare.
	Sweep(ctx context.Context) error
	// Prepare makes an empty workspace. Its error is the machine's fault, not the build's.
	Prepare(ctx context.Context, j Job) (Workspace, error)
	// Secrets are values that must not show in a log, besides those that a build brings itself.
	Secrets() []string
}

// Workspace is the place of one attempt. It is used by one goroutine at a time.
type Workspace interface {
	// Dir is a directory of the host that the source is unpacked into, and where the result is found; empty at first.
	Dir() string
	// Scratch is a directory beside it for the worker's own files.
	Scratch() string
	// Plan reads the unpacked source. What is wrong with it is pipeline.ErrProject.
	Plan(ctx context.Context) (pipeline.Plan, error)
	// Run runs a stage's command. A status other than 0 is *process.ExitError: the build's own failure; any other error is
	// the machine's. When ctx ends, everything that runs is ended before Run returns context.Cause.
	Run(ctx context.Context, c Command) error
	// Close ends what still runs and removes the workspace. It may be called twice.
	Close() error
}

// Command is what a stage runs.
type Command struct {
	Stage string
	// Run is a script for Shell.
	Run   string
	Shell pipeline.Shell
	// Dir below the workspace.
	Dir string
	// Env is added to what the executor gives by itself.
	Env map[string]string
	// Output gets stdout and stderr as they come. Its Write may wait.
	Output io.Writer
}
