package standalone_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// worker runs a worker in this process until the test ends, and returns once it is online.
func (s *server) worker(name string, labels build.Labels, opts fake.Options) {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), name)
	executor, err := fake.New(dir, opts, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := worker.New(worker.Config{Name: name, StateDir: dir, Labels: labels, DrainTimeout: 10 * time.Second},
		worker.Deps{Gateway: s.client(), Executor: executor, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			s.t.Errorf("worker: %v", err)
		}
	})
	s.t.Cleanup(func() { cancel(); running.Wait() })
	s.eventually(name+" is online", func() bool {
		all, err := s.client().Workers.List(s.t.Context())
		return err == nil && slices.ContainsFunc(all.Workers, func(v api.Worker) bool { return v.Name == name && v.Online })
	})
}

func (s *server) submit(in api.Submit) api.Submitted {
	s.t.Helper()
	in.Platform, in.Source = "android", bytes.NewReader(project(s.t).Bytes())
	sub, err := s.client().Builds.Submit(s.t.Context(), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// ended waits for the end of a build.
func (s *server) ended(id string) (b api.Build) {
	s.t.Helper()
	s.eventually("build "+id+" ends", func() bool {
		var err error
		b, err = s.client().Builds.Get(s.t.Context(), id)
		return err == nil && b.Final()
	})
	return b
}

// TestLabelledBuildGetsItsTurn: a build that only one worker can do gets the next slot of that worker when it is its turn, although others
// wait that any worker can do and that the worker could pull each time it is free.
func TestLabelledBuildGetsItsTurn(t *testing.T) {
	s := start(t, config(t))
	opts := fake.Options{Slow: 150 * time.Millisecond}
	s.worker("linux", build.Labels{"os": "linux"}, opts)
	s.worker("mac", build.Labels{"os": "macos", "xcode": "26.1"}, opts)
	var others []string
	for range 40 {
		others = append(others, s.submit(api.Submit{Project: "shop"}).ID)
	}
	sub := s.submit(api.Submit{Project: "bank", Settings: build.Settings{Requires: "xcode=26"}})
	if sub.Requires != "xcode=26" || len(sub.Warnings) > 0 {
		t.Errorf("submitted %+v, warnings %q", sub.Build, sub.Warnings)
	}
	b := s.ended(sub.ID)
	if b.WorkerName != "mac" || b.Status != "completed" {
		t.Errorf("built by %q: %s %s", b.WorkerName, b.Status, b.Error)
	}
	before := 0
	for _, id := range others {
		if o := s.ended(id); o.AssignedAt > sub.SubmittedAt && o.AssignedAt < b.AssignedAt {
			before++
		}
	}
	t.Logf("%d builds of another project started while it waited", before)
	if before > 6 {
		t.Errorf("%d of 40 builds of another project started before it, want those on offer and running at most", before)
	}
}

// TestLabelsByCommand: --label of a worker, --require of a submit, and what is said about them.
func TestLabelsByCommand(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--with-worker", "--executor", "fake", "--label", "image=sonoma,rank=1", "--label", "resource-class=large")
	f.eventually("the worker has its labels", func() bool {
		out := f.says("workers", "--json")
		return strings.Contains(out, `"image":"sonoma"`) && strings.Contains(out, `"arch":`)
	})
	dir := t.TempDir()
	for name, text := range map[string]string{
		"package.json": `{"name":"app","version":"1.0.0"}`, "app.json": `{"expo":{"name":"app","slug":"app"}}`,
		"package-lock.json": `{"name":"app","lockfileVersion":3,"packages":{}}`,
		"eas.json":          `{"build":{"production":{"resourceClass":"large","android":{"image":"ubuntu-99"}}}}`,
		"freeagent.json":    `{"profiles":{"production":{"requires":["rank=1"],"stages":[{"name":"compile","run":"true"}],"result":"package.json"}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := f.says("submit", dir, "--platform", "android", "--require", "os="+goos(), "--follow")
	if !strings.Contains(out, "for a worker with os="+goos()+", rank=1, resource-class=large") {
		t.Errorf("submit printed\n%s", out)
	}
	if !strings.Contains(out, "image=ubuntu-99 is asked for, but no worker has it") {
		t.Errorf("submit printed\n%s", out)
	}
	out = f.says("submit", dir, "--platform", "android", "--require", "rank=2")
	if !strings.Contains(out, "no worker for android in pool default has the label rank=2: known are rank=1") {
		t.Errorf("submit printed\n%s", out)
	}
}

// goos is the label os of this machine.
func goos() string {
	if runtime.GOOS == "darwin" {
		return "macos"
	}
	return runtime.GOOS
}

// TestBuildsReturnToTheirWorker: while several workers are free, a project's build goes to the one that built it last, and its log says
// so. If that one is busy, another one builds at once.
func TestBuildsReturnToTheirWorker(t *testing.T) {
	s := start(t, config(t))
	opts := fake.Options{Slow: 20 * time.Millisecond}
	for _, name := range []string{"one", "two", "three"} {
		s.worker(name, nil, opts)
	}
	projects, last := []string{"bank", "shop", "game"}, map[string]string{}
	hits, builds := 0, 0
	var waited time.Duration
	for range 8 {
		ids := map[string]string{}
		for _, p := range projects {
			ids[p] = s.submit(api.Submit{Project: p, Origin: build.Origin{Branch: "topic"}}).ID
		}
		for _, p := range projects {
			b := s.ended(ids[p])
			if last[p] != "" {
				builds++
				if b.WorkerName == last[p] {
					hits++
				}
			}
			last[p] = b.WorkerName
			waited = max(waited, at(t, b.AssignedAt).Sub(at(t, b.SubmittedAt)))
		}
	}
	t.Logf("%d of %d builds went to the worker that built their project last; the longest waited for %s", hits, builds, waited)
	if hits < builds*9/10 {
		t.Errorf("%d of %d builds went to the worker that built their project last", hits, builds)
	}
	id := s.submit(api.Submit{Project: "bank", Origin: build.Origin{Branch: "topic"}}).ID
	s.ended(id)
	s.eventually("the log says why", func() bool {
		var log strings.Builder
		err := s.client().Builds.ReadLog(t.Context(), id, func(l api.LogLine) error {
			log.WriteString(l.Text + "\n")
			return nil
		})
		return err == nil && strings.Contains(log.String(), "Assigned to worker "+last["bank"]+", which built this project last")
	})
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
