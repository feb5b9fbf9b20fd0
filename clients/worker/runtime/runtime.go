package runtime

import (
	"context"
	"fmt"
	"io"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Job describes an attempt to an executor.
type Job struct {
	BuildID string
	Attempt int32
	// Project may be empty.
	Project  string
	Platform build.Platform
	// Profile by name, may be empty.
	Profile  string
	Origin   build.Origin
	Settings build.Settings
	// RepackName is the file name of the earlier app that gets a new JavaScript bundle; empty for a native build.
	RepackName string
}

// Key returns a file name for the attempt, unique on this machine.
func (j Job) Key() string { return fmt.Sprintf("%s.%d", j.BuildID, j.Attempt) }

// Executor prepares workspaces. It is safe for concurrent use.
type Executor interface {
	// Name is that of the flag --executor: "shell".
	Name() string
	// Sweep ends and removes what an earlier process left. It is called once, before the first Prepare.
	Sweep(ctx context.Context) error
	// Prepare creates an empty workspace. Its errors are infrastructure failures.
	Prepare(ctx context.Context, j Job) (Workspace, error)
	// Secrets returns values that logs must not show, in addition to those of a build's profile.
	Secrets() []string
}

// Describer is an Executor that says what of the machine the results of builds depend on.
type Describer interface {
	// Describe returns versions of tools, and the variables that builds get, which may be secret. Equal descriptions mean equal machines.
	Describe(ctx context.Context) []string
}

// Workspace is the place of one attempt. It is used by one goroutine at a time.
type Workspace interface {
	// Dir is the directory of the host for the source and the result; empty at first.
	Dir() string
	// Scratch is a directory beside it for the worker's own files.
	Scratch() string
	// Plan reads the unpacked source. A faulty project is pipeline.ErrProject.
	Plan(ctx context.Context) (pipeline.Plan, error)
	// Missing returns the needs that Fetch must get. Tools that are there are on the PATH of the commands that follow; the lines say which.
	Missing(ctx context.Context, needs []pipeline.Need) (missing []pipeline.Need, lines []string)
	// Fetch gets a tool with run, which runs a script as Run does, and puts it on the PATH. The line says what it got.
	Fetch(ctx context.Context, n pipeline.Need, run func(ctx context.Context, script string) error) (line string, err error)
	// Run runs a stage's command. A status other than 0 is *process.ExitError: the build's own failure; any other error is
	// the machine's. When ctx ends, everything that runs is ended before Run returns context.Cause.
	Run(ctx context.Context, c Command) error
	// Close ends what still runs and removes the workspace. It may be called twice.
	Close() error
}

// Command is a stage's command.
type Command struct {
	Stage string
	// Run is a script for Shell.
	Run   string
	Shell pipeline.Shell
	// Dir below the workspace.
	Dir string
	// Env is added to what the executor sets. The build may have changed these variables since.
	Env map[string]string
	// StageEnv has variables of this command alone, which the build cannot change.
	StageEnv map[string]string
	// Output gets stdout and stderr as they come. Its Write may wait.
	Output io.Writer
}
