package fake

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

// HermesMagic are the first bytes of a Hermes bytecode bundle.
const HermesMagic = "\xc6\x1f\xbc\x03\xc1\x03\x19\x1f"

const (
	defaultLines = 3
	defaultSize  = 4 << 10
)

// Executor implements runtime.Executor.
type Executor struct {
	dir  string
	opts Options
	die  func()
}

var (
	_ runtime.Executor  = (*Executor)(nil)
	_ runtime.Workspace = (*workspace)(nil)
)

// New returns an executor with workspaces below dir. die ends the process at once; nil means SIGKILL to itself.
func New(dir string, opts Options, die func()) (*Executor, error) {
	if die == nil {
		die = killSelf
	}
	e := &Executor{dir: filepath.Join(dir, "builds"), opts: opts, die: die}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of builds: %w", err)
	}
	return e, nil
}

func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
}

// Name returns "fake".
func (e *Executor) Name() string { return "fake" }

// Secrets returns none.
func (e *Executor) Secrets() []string { return nil }

// Sweep removes the workspaces that an earlier process left.
func (e *Executor) Sweep(context.Context) error {
	left, err := os.ReadDir(e.dir)
	if err != nil {
		return fmt.Errorf("sweep old builds: %w", err)
	}
	var errs []error
	for _, d := range left {
		errs = append(errs, os.RemoveAll(filepath.Join(e.dir, d.Name())))
	}
	return errors.Join(errs...)
}

// Prepare creates the attempt's directories.
func (e *Executor) Prepare(_ context.Context, j runtime.Job) (runtime.Workspace, error) {
	w := &workspace{executor: e, job: j, dir: filepath.Join(e.dir, j.Key()), fate: e.fate(j)}
	for _, dir := range []string{w.dir, w.Dir(), w.Scratch()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the workspace: %w", err)
		}
	}
	return w, nil
}

type fate int

const (
	succeed fate = iota
	fail
	hang
	die
)

// fate is drawn for each attempt from its name: the same attempt has the same fate on every worker.
func (e *Executor) fate(j runtime.Job) fate {
	h := fnv.New64a()
	_, _ = io.WriteString(h, j.Key())
	x := rand.New(rand.NewPCG(h.Sum64(), 0)).Float64()
	for _, f := range []struct {
		share float64
		fate  fate
	}{{e.opts.Fail, fail}, {e.opts.Hang, hang}, {e.opts.Die, die}} {
		if x < f.share {
			return f.fate
		}
		x -= f.share
	}
	return succeed
}

type workspace struct {
	executor *Executor
	job      runtime.Job
	dir      string
	fate     fate
}

func (w *workspace) Dir() string     { return filepath.Join(w.dir, "project") }
func (w *workspace) Scratch() string { return filepath.Join(w.dir, "scratch") }

// Plan returns the same plan for every source.
func (w *workspace) Plan(context.Context) (pipeline.Plan, error) {
	return pipeline.Plan{
		Root: w.Dir(), App: w.Dir(), Name: "fake-" + string(w.job.Platform), Result: "freeagent-fake-dist",
		Stages: []pipeline.Stage{{Name: "install", Run: "fake install"}, {Name: "export", Run: "fake export"}},
	}, nil
}

// Missing returns none: a simulated build needs no tools.
func (w *workspace) Missing(context.Context, []pipeline.Need) ([]pipeline.Need, []string) {
	return nil, nil
}

// Fetch does nothing.
func (w *workspace) Fetch(context.Context, pipeline.Need, func(context.Context, string) error) (string, error) {
	return "", nil
}

// Run simulates a stage: its lines, spread over its time, then its fate or its file.
func (w *workspace) Run(ctx context.Context, c runtime.Command) error {
	lines := w.executor.opts.Lines
	if lines == 0 {
		lines = defaultLines
	}
	for i := range lines {
		if err := wait(ctx, w.executor.opts.Slow/time.Duration(lines)); err != nil {
			return err
		}
		if err := say(c.Output, "%s: step %d of %d", c.Run, i+1, lines); err != nil {
			return err
		}
	}
	if c.Stage == w.stage() {
		if err := w.meet(ctx, c.Output); err != nil {
			return err
		}
	}
	if c.Stage == "export" {
		return w.bundle(c.Dir)
	}
	return nil
}

func (w *workspace) stage() string {
	if w.executor.opts.Stage != "" {
		return w.executor.opts.Stage
	}
	return "export"
}

func (w *workspace) meet(ctx context.Context, out io.Writer) error {
	switch w.fate {
	case fail:
		if err := say(out, "Error: the fake build was told to fail"); err != nil {
			return err
		}
		return &process.ExitError{Code: 1}
	case die:
		w.executor.die()
		fallthrough // until the signal arrives
	case hang:
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return nil
}

func say(out io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format+"\n", args...); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// size returns the size of this attempt's bundle, the same at each call.
func (w *workspace) size() int64 {
	least, most := w.executor.opts.Size, w.executor.opts.MaxSize
	if least == 0 {
		least = defaultSize
	}
	if most <= least {
		return least
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.job.Key())) // never fails
	drawn := float64(h.Sum64()) / math.MaxUint64
	return int64(float64(least) * math.Pow(float64(most)/float64(least), drawn))
}

// bundle writes files like those of expo export. The bundle begins like Hermes bytecode; the rest is random (from a fixed seed), since packing
// would shrink anything else. attempt.txt says which attempt made it.
func (w *workspace) bundle(root string) error {
	size := w.size()
	dir := filepath.Join(root, "freeagent-fake-dist", "_expo", "static", "js", string(w.job.Platform))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the fake bundle: %w", err)
	}
	name := filepath.Join(root, "freeagent-fake-dist", "attempt.txt")
	if err := os.WriteFile(name, []byte(w.job.Key()+"\n"), 0o644); err != nil { // like what is built
		return fmt.Errorf("write the fake bundle: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, "index.hbc"))
	if err != nil {
		return fmt.Errorf("write the fake bundle: %w", err)
	}
	_, err = f.WriteString(HermesMagic)
	if err == nil {
		_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), max(0, size-int64(len(HermesMagic))))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the fake bundle: %w", err)
	}
	return nil
}

func (w *workspace) Close() error {
	return os.RemoveAll(w.dir)
}
