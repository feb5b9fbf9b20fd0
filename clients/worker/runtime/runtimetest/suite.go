// Package runtimetest is the suite that every executor passes.
package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Fates is an executor in each mood, fresh executors over fresh directories.
type Fates struct {
	// Succeed runs its plan's stages to a result; Fail ends one with exit code 1; Hang never ends one.
	Succeed, Fail, Hang func(t *testing.T) runtime.Executor
	// Source is unpacked into each workspace.
	Source func(t *testing.T, dir string)
}

// Run runs the suite.
func Run(t *testing.T, f Fates) {
	t.Run("a build leads to its result", f.result)
	t.Run("a failure is the build's own", f.failure)
	t.Run("the end of the context ends the command", f.cancel)
	t.Run("workspaces are apart and removed", f.apart)
	t.Run("an attempt has one workspace", f.once)
	t.Run("sweep removes what is left", f.sweep)
}

func job() runtime.Job {
	return runtime.Job{BuildID: build.NewID(), Attempt: 1, Platform: build.Android}
}

// begin returns a workspace with its source and plan.
func (f Fates) begin(t *testing.T, e runtime.Executor) (runtime.Workspace, pipeline.Plan) {
	t.Helper()
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := e.Prepare(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if left, err := os.ReadDir(w.Dir()); err != nil || len(left) != 0 {
		t.Fatalf("a new workspace has %v, %v, want nothing", left, err)
	}
	f.Source(t, w.Dir())
	p, err := w.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

// stages runs the plan until a stage fails.
func stages(ctx context.Context, w runtime.Workspace, p pipeline.Plan) (string, error) {
	var out bytes.Buffer
	for _, s := range p.Stages {
		err := w.Run(ctx, runtime.Command{Stage: s.Name, Run: s.Run, Dir: p.App, Env: p.Env, Output: &out})
		if err != nil {
			return out.String(), err
		}
	}
	return out.String(), nil
}

func (f Fates) result(t *testing.T) {
	t.Parallel()
	w, p := f.begin(t, f.Succeed(t))
	out, err := stages(t.Context(), w, p)
	if err != nil || !strings.Contains(out, "\n") {
		t.Fatalf("stages: %v; output %q, want lines", err, out)
	}
	app, err := p.OpenApp()
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	found, err := pipeline.Match(app, p.Result)
	if err != nil || len(found) == 0 {
		t.Errorf("result %q: %v, %v, want something", p.Result, found, err)
	}
}

func (f Fates) failure(t *testing.T) {
	t.Parallel()
	w, p := f.begin(t, f.Fail(t))
	_, err := stages(t.Context(), w, p)
	var exit *process.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("stages: %v, want exit code 1", err)
	}
}

func (f Fates) cancel(t *testing.T) {
	t.Parallel()
	w, p := f.begin(t, f.Hang(t))
	wanted := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer time.AfterFunc(300*time.Millisecond, func() { cancel(wanted) }).Stop()
	begin := time.Now()
	if _, err := stages(ctx, w, p); !errors.Is(err, wanted) {
		t.Errorf("stages: %v, want %v", err, wanted)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s to end", took)
	}
}

func (f Fates) apart(t *testing.T) {
	t.Parallel()
	e := f.Succeed(t)
	a, _ := f.begin(t, e)
	b, err := e.Prepare(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	if a.Dir() == b.Dir() || a.Scratch() == b.Scratch() {
		t.Errorf("two workspaces share %s or %s", a.Dir(), a.Scratch())
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := os.Stat(b.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close %s is still there (%v)", b.Dir(), err)
	}
	if _, err := os.Stat(a.Dir()); err != nil {
		t.Errorf("the other workspace is gone: %v", err)
	}
}

func (f Fates) once(t *testing.T) {
	t.Parallel()
	e, j := f.Succeed(t), job()
	w, err := e.Prepare(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := e.Prepare(t.Context(), j); err == nil {
		t.Error("the same attempt got a second workspace")
	}
}

func (f Fates) sweep(t *testing.T) {
	t.Parallel()
	e := f.Succeed(t)
	w, err := e.Prepare(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	f.Source(t, w.Dir())
	locked := filepath.Join(w.Dir(), "locked")
	if err := os.MkdirAll(filepath.Join(locked, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Sweep %s is still there (%v)", w.Dir(), err)
	}
}
