package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/tools"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

// Config of an executor.
type Config struct {
	// Dir holds workspaces and caches of this executor alone; absolute. See ChooseWorkDir.
	Dir string
	// StateDir, if set, is the worker's state directory, which held workspaces and caches before Dir did.
	StateDir string
	// PassEnv has names of additional variables for builds, see Passed. Logs do not show their values. PassEnvPlain has those of
	// settings, which logs may show.
	PassEnv, PassEnvPlain []string
	// TrustedBranches are patterns of branches whose caches all builds of their project read.
	TrustedBranches []string
	// CacheBytes bounds what builds keep for later builds; 0: 20 GiB.
	CacheBytes int64
	// CancelGrace is the time between SIGTERM and SIGKILL for a build that is ended; 0 kills at once.
	CancelGrace time.Duration
	// Environ is the worker's environment; nil means os.Environ().
	Environ []string
	Log     *slog.Logger
}

const (
	defaultCacheBytes = 20 << 30
	// cacheAge is how long a cache is kept that no build uses.
	cacheAge = 30 * 24 * time.Hour
)

// Executor implements runtime.Executor.
type Executor struct {
	builds, cache string
	// earlier is the state directory, where an earlier version may have left workspaces and caches; empty if builds run there.
	earlier string
	// lock is held while the process lives, if Dir is not the state directory, which has a lock.
	lock    *os.File
	base    map[string]string
	secrets []string
	tools   pipeline.Toolchain
	store   *tools.Store
	caches  *buildcache.Store
	// registry is that of npm.
	registry *registry
	log      *slog.Logger
	grace    time.Duration

	mu sync.Mutex
	// running has the keys of the attempts that have a workspace.
	running map[string]bool
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
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	if err := CheckPassEnv(cfg.PassEnv, cfg.PassEnvPlain); err != nil {
		return nil, err
	}
	e := &Executor{builds: filepath.Join(cfg.Dir, "builds"), cache: filepath.Join(cfg.Dir, "cache"), log: cfg.Log, grace: cfg.CancelGrace, running: map[string]bool{}}
	if cfg.StateDir != "" && cfg.StateDir != cfg.Dir {
		e.earlier = cfg.StateDir
	}
	for _, dir := range []string{e.builds, e.cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("directory of builds: %w", err)
		}
	}
	given := variables(cfg.Environ)
	e.base, e.secrets = pass(given, cfg.PassEnv, cfg.PassEnvPlain)
	e.warnUnmasked(ctx, cfg.PassEnv)
	e.tools = pipeline.Detect(func(k string) string { return e.base[k] })
	e.caches = buildcache.New(buildcache.Config{
		Dir: filepath.Join(e.cache, "builds"), Trusted: cfg.TrustedBranches, MaxBytes: cfg.CacheBytes, MaxAge: cacheAge,
	})
	e.store = tools.New(filepath.Join(e.cache, "tools"), e.base["PATH"], given["HOME"], cfg.Log)
	e.tools.Bash = findBash(e.base["PATH"]) != ""
	e.registry = newRegistry(e.base, cfg.Log)
	e.registry.ask(ctx)
	return e, nil
}

// Name returns "shell".
func (e *Executor) Name() string { return "shell" }

// Secrets returns the values of variables that are passed as secrets.
func (e *Executor) Secrets() []string { return e.secrets }

// Sweep ends the processes of attempts whose directories are left, and removes the directories. It is ErrWorkDir if another worker uses them.
func (e *Executor) Sweep(ctx context.Context) error {
	var earlier error
	if e.earlier != "" {
		if err := e.adopt(); err != nil {
			return err
		}
		earlier = e.sweep(ctx, filepath.Join(e.earlier, "builds"))
	}
	if err := errors.Join(earlier, e.sweep(ctx, e.builds), e.dropOldCaches(), e.store.Prune(), e.caches.Prune(time.Now())); err != nil {
		return fmt.Errorf("sweep old builds: %w", err)
	}
	return nil
}

// dropOldCaches removes the caches that all builds shared in earlier versions.
func (e *Executor) dropOldCaches() error {
	var errs []error
	for _, name := range []string{"npm", "yarn", "yarn-berry", "bun", "gradle", "cocoapods"} {
		errs = append(errs, remove(filepath.Join(e.cache, name)))
	}
	return errors.Join(errs...)
}

// adopt locks the work directory, and moves the caches of an earlier version there. If they are on another disk they are left: builds fill
// new ones.
func (e *Executor) adopt() error {
	if e.lock == nil {
		lock, err := lockDir(filepath.Dir(e.builds))
		if err != nil {
			return err
		}
		e.lock = lock
	}
	old := filepath.Join(e.earlier, "cache")
	if _, err := os.Lstat(old); err != nil || os.Remove(e.cache) != nil { // only an empty directory can be removed
		return nil //nolint:nilerr // nothing to move
	}
	if err := os.Rename(old, e.cache); err != nil {
		return os.MkdirAll(e.cache, 0o700)
	}
	return nil
}

func (e *Executor) sweep(ctx context.Context, builds string) error {
	left, err := os.ReadDir(builds)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, d := range left {
		dir := filepath.Join(builds, d.Name())
		key := attemptOf(dir)
		e.log.InfoContext(ctx, "removing what an earlier run left", "attempt", key)
		errs = append(errs, process.Kill(key), remove(dir))
	}
	return errors.Join(errs...)
}

// attemptFile names the attempt that a workspace belongs to. The directory's own name is short.
const attemptFile = "attempt"

// attemptOf returns the key of the attempt whose workspace dir is. Earlier versions named the directory by it.
func attemptOf(dir string) string {
	key, err := os.ReadFile(filepath.Join(dir, attemptFile))
	if err != nil || len(key) == 0 {
		return filepath.Base(dir)
	}
	return string(key)
}

// enter notes that an attempt has a workspace; false if it has one already.
func (e *Executor) enter(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	had := e.running[key]
	e.running[key] = true
	return !had
}

func (e *Executor) exit(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, key)
}

// errTwice means that the attempt has a workspace already.
var errTwice = errors.New("the attempt has a workspace already")

// Prepare creates the attempt's directories.
func (e *Executor) Prepare(ctx context.Context, j runtime.Job) (runtime.Workspace, error) {
	if !e.enter(j.Key()) {
		return nil, fmt.Errorf("make the workspace: %w", errTwice)
	}
	e.registry.ask(ctx)
	if err := e.caches.Prune(time.Now()); err != nil {
		e.log.WarnContext(ctx, "prune caches failed", "err", err)
	}
	dir, err := e.makeDir()
	if err != nil {
		e.exit(j.Key())
		return nil, fmt.Errorf("make the workspace: %w", err)
	}
	w := &workspace{programs: programs{dir}, executor: e, job: j}
	// Before anything runs: by this file Sweep finds the attempt's processes.
	err = os.WriteFile(filepath.Join(w.dir, attemptFile), []byte(j.Key()), 0o600)
	for _, dir := range []string{"project", "home", "tmp", "scratch"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(w.dir, dir), 0o700))
	}
	err = errors.Join(err, writePnpmSettings(filepath.Join(w.dir, "home")))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the workspace: %w", err), w.Close())
	}
	if err := w.programs.make(); err != nil {
		return nil, errors.Join(fmt.Errorf("make the workspace: %w", err), w.Close())
	}
	return w, nil
}

// makeDir creates the directory with the first number that is free: a short path, and for one build after another the same one, which caches
// that know absolute paths profit from.
func (e *Executor) makeDir() (string, error) {
	for n := 1; ; n++ {
		dir := filepath.Join(e.builds, strconv.Itoa(n))
		err := os.Mkdir(dir, 0o700)
		if !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}

type workspace struct {
	programs

	executor *Executor
	job      runtime.Job
	// tools are directories of programs for the PATH.
	tools []string
	// versions of the tools that the build uses.
	versions []string
	kept     kept
	// shared is the farm's cache; nil without one.
	shared *sharing
	closed bool
}

func (w *workspace) Dir() string     { return filepath.Join(w.dir, "project") }
func (w *workspace) Scratch() string { return filepath.Join(w.dir, "scratch") }

func (w *workspace) Plan(context.Context) (pipeline.Plan, error) {
	return pipeline.Load(w.Dir(), pipeline.Request{
		Platform: w.job.Platform, Profile: w.job.Profile, AppPath: w.job.Settings.AppPath,
		BuildNumber: w.job.Settings.BuildNumber, RepackName: w.job.RepackName, Tools: w.executor.tools,
	})
}

func (w *workspace) Run(ctx context.Context, c runtime.Command) error {
	argv, err := w.executor.interpreter(c.Shell)
	if err != nil {
		return err
	}
	env, err := w.Variables(c.Env, c.StageEnv)
	if err != nil {
		return err
	}
	return process.Run(ctx, process.Spec{
		Argv: append(argv, "-c", c.Run), Dir: c.Dir, Env: pairs(env), Mark: w.job.Key(), Grace: w.executor.grace, Output: c.Output,
	})
}

// interpreter returns the program and options that a stage asks for. The default is /bin/sh where there is no bash; a project
// that asks for bash gets it or an error, since its stage may rely on it.
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
var errNoBash = errors.New("the project asks for bash, which is not on this worker's PATH; install it")

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
	if w.closed {
		return nil // another attempt may have the directory by now
	}
	w.closed = true
	defer w.executor.exit(w.job.Key())
	// Kill first: who still runs would write into what is being removed.
	err := process.Kill(w.job.Key())
	if err == nil {
		w.kept.install.park()
	}
	return errors.Join(err, remove(w.dir))
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
