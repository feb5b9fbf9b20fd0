package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/tools"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

// Config of an executor.
type Config struct {
	// Dir holds workspaces and caches of this executor alone; absolute.
	Dir string
	// PassEnv has names of additional variables for builds, see Passed. Logs do not show their values. PassEnvPlain has those of
	// settings, which logs may show.
	PassEnv, PassEnvPlain []string
	// CancelGrace is the time between SIGTERM and SIGKILL for a build that is ended; 0 kills at once.
	CancelGrace time.Duration
	// Environ is the worker's environment; nil means os.Environ().
	Environ []string
	Log     *slog.Logger
}

// Executor implements runtime.Executor.
type Executor struct {
	builds, cache string
	base          map[string]string
	secrets       []string
	tools         pipeline.Toolchain
	store         *tools.Store
	log           *slog.Logger
	grace         time.Duration
}

var (
	_ runtime.Executor  = (*Executor)(nil)
	_ runtime.Workspace = (*workspace)(nil)
)

// New creates the directories and reads the registry of the user's npm configuration: builds have another home directory, and must not read the
// tokens in that file.
func New(ctx context.Context, cfg Config) (*Executor, error) {
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("directory of builds must be absolute (got %q)", cfg.Dir)
	}
	if cfg.Environ == nil {
		cfg.Environ = os.Environ()
	}
	if err := CheckPassEnv(cfg.PassEnv, cfg.PassEnvPlain); err != nil {
		return nil, err
	}
	e := &Executor{builds: filepath.Join(cfg.Dir, "builds"), cache: filepath.Join(cfg.Dir, "cache"), log: cfg.Log, grace: cfg.CancelGrace}
	for _, dir := range []string{e.builds, e.cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("directory of builds: %w", err)
		}
	}
	given := variables(cfg.Environ)
	e.base, e.secrets = pass(given, cfg.PassEnv, cfg.PassEnvPlain)
	e.warnUnmasked(ctx, cfg.PassEnv)
	e.tools = pipeline.Detect(func(k string) string { return e.base[k] })
	e.store = tools.New(filepath.Join(e.cache, "tools"), e.base["PATH"], given["HOME"], cfg.Log)
	addRegistry(ctx, e.base)
	return e, nil
}

// Name returns "shell".
func (e *Executor) Name() string { return "shell" }

// Secrets returns the values of variables that are passed as secrets.
func (e *Executor) Secrets() []string { return e.secrets }

// Sweep ends the processes of attempts whose directories are left, and removes the directories.
func (e *Executor) Sweep(ctx context.Context) error {
	left, err := os.ReadDir(e.builds)
	if err != nil {
		return fmt.Errorf("sweep old builds: %w", err)
	}
	var errs []error
	for _, d := range left {
		e.log.InfoContext(ctx, "removing what an earlier run left", "attempt", d.Name())
		errs = append(errs, process.Kill(d.Name()), remove(filepath.Join(e.builds, d.Name())))
	}
	errs = append(errs, e.store.Prune())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep old builds: %w", err)
	}
	return nil
}

// Prepare creates the attempt's directories.
func (e *Executor) Prepare(_ context.Context, j runtime.Job) (runtime.Workspace, error) {
	w := &workspace{executor: e, job: j, dir: filepath.Join(e.builds, j.Key())}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the workspace: %w", err)
	}
	for _, dir := range []string{"project", "home", "tmp", "scratch"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make the workspace: %w", err), w.Close())
		}
	}
	if err := w.makeSetEnv(); err != nil {
		return nil, errors.Join(fmt.Errorf("make the workspace: %w", err), w.Close())
	}
	return w, nil
}

type workspace struct {
	executor *Executor
	job      runtime.Job
	dir      string
	// tools are directories of programs for the PATH.
	tools []string
}

func (w *workspace) Dir() string     { return filepath.Join(w.dir, "project") }
func (w *workspace) Scratch() string { return filepath.Join(w.dir, "scratch") }

func (w *workspace) Plan(context.Context) (pipeline.Plan, error) {
	return pipeline.Load(w.Dir(), pipeline.Request{
		Platform: w.job.Platform, Profile: w.job.Profile, AppPath: w.job.Settings.AppPath, Tools: w.executor.tools,
	})
}

func (w *workspace) Run(ctx context.Context, c runtime.Command) error {
	argv, err := w.executor.interpreter(c.Shell)
	if err != nil {
		return err
	}
	env, err := w.environment(c.Env)
	if err != nil {
		return err
	}
	return process.Run(ctx, process.Spec{
		Argv: append(argv, "-c", c.Run), Dir: c.Dir, Env: env, Mark: w.job.Key(), Grace: w.executor.grace, Output: c.Output,
	})
}

// interpreter returns the program and options that a stage asks for. The built-in stages are content with /bin/sh where there
// is no bash; a project that asks for bash gets it or an error, since its stage may rely on it.
func (e *Executor) interpreter(shell pipeline.Shell) ([]string, error) {
	if shell == pipeline.Sh || shell == "" {
		return []string{"/bin/sh", "-e"}, nil
	}
	bash := findBash(e.base["PATH"])
	if bash != "" {
		return []string{bash, "-eo", "pipefail"}, nil
	}
	if shell == pipeline.BashIfPresent {
		return []string{"/bin/sh", "-e"}, nil
	}
	return nil, errNoBash
}

// errNoBash is this machine's fault: another worker may have it.
var errNoBash = fmt.Errorf("%s asks for bash, which is not on this worker's PATH; install it", pipeline.FileName)

// findBash looks where a build would; "" if there is none.
func findBash(path string) string {
	for _, dir := range append(filepath.SplitList(path), "/bin", "/usr/bin") {
		name := filepath.Join(dir, "bash")
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(name) {
			return name
		}
	}
	return ""
}

// Usage is that of the attempt's processes.
func (w *workspace) Usage() (process.Usage, error) {
	return process.Measure(w.job.Key())
}

var _ runtime.Measurer = (*workspace)(nil)

func (w *workspace) Close() error {
	// Kill first: who still runs would write into what is being removed.
	return errors.Join(process.Kill(w.job.Key()), remove(w.dir))
}

// remove is RemoveAll that also gets through directories that a build made unwritable.
func remove(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o700) // about to be removed
		}
		return nil
	})
	return os.RemoveAll(dir)
}
