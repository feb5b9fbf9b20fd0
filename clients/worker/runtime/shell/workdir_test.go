//go:build linux || darwin

package shell_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// shortDir is a directory with a short name; those of t.TempDir are too long for builds.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fa") //nolint:usetesting // that of t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func home(dir string) func(string) string { return func(string) string { return dir } }

// TestWhereBuildsRun: a state directory in which tools would break is replaced by a short one of this user alone.
func TestWhereBuildsRun(t *testing.T) {
	t.Parallel()
	root := shortDir(t)
	for name, state := range map[string]string{
		"space": filepath.Join(root, "Library/Application Support/FreeAgent/worker"), "long": filepath.Join(root, strings.Repeat("long/", 20)),
	} {
		got, err := shell.ChooseWorkDir("", state, home(root))
		if err != nil || !strings.HasPrefix(got, root+"/.freeagent/") || shell.CheckWorkDir(got) != nil {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		if info, err := os.Stat(got); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if again, err := shell.ChooseWorkDir("", state, home(root)); err != nil || again != got {
			t.Errorf("%s: then %q, %v", name, again, err)
		}
	}
	if got, err := shell.ChooseWorkDir("", root, home("/nowhere")); err != nil || got != root {
		t.Errorf("a good state directory: %q, %v", got, err)
	}
	// A home directory with a space does not do either.
	got, err := shell.ChooseWorkDir("", "/x y", home(root+"/Jo Doe"))
	if err != nil || strings.Contains(got, " ") || strings.HasPrefix(got, root) {
		t.Errorf("home with a space: %q, %v", got, err)
	}
	_ = os.Remove(got)
	_ = os.Remove(filepath.Dir(got)) // unless somebody uses it
}

// TestWorkDirIsRefused: one that was chosen is refused with the reason.
func TestWorkDirIsRefused(t *testing.T) {
	t.Parallel()
	root := shortDir(t)
	link := filepath.Join(root, "f")
	if err := os.WriteFile(link, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		root + "/a b": "space", root + "/" + strings.Repeat("x", 60): "too long", "relative": "absolute", link: "is a link or a file",
	} {
		if _, err := shell.ChooseWorkDir(dir, root, os.Getenv); !errors.Is(err, shell.ErrWorkDir) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want ErrWorkDir with %q", dir, err, want)
		}
	}
	if got, err := shell.ChooseWorkDir(root+"/new/w", "/x y", os.Getenv); err != nil || got != root+"/new/w" {
		t.Errorf("a new directory: %q, %v", got, err)
	}
}

// TestPlantedLink: a link where the directory would be is not followed, and one that others can enter is closed.
func TestPlantedLink(t *testing.T) {
	t.Parallel()
	root, elsewhere := shortDir(t), shortDir(t)
	if err := os.Symlink(elsewhere, filepath.Join(root, ".freeagent")); err != nil {
		t.Fatal(err)
	}
	got, err := shell.ChooseWorkDir("", "/x y z", home(root))
	if left, _ := os.ReadDir(elsewhere); len(left) != 0 || strings.HasPrefix(got, root) {
		t.Errorf("ChooseWorkDir = %q, %v and made %v behind the link", got, err, left)
	}
	_ = os.Remove(got)
	_ = os.Remove(filepath.Dir(got))
	open := shortDir(t)
	if err := os.Mkdir(open+"/.freeagent", 0o777); err != nil { //nolint:gosec // the case
		t.Fatal(err)
	}
	if err := os.Chmod(open+"/.freeagent", 0o777); err != nil { //nolint:gosec // the case
		t.Fatal(err)
	}
	if _, err := shell.ChooseWorkDir("", "/x y", home(open)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(open + "/.freeagent"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("an open directory has mode %v, %v", info.Mode(), err)
	}
}

// TestSocketsFitInTMPDIR: what CheckWorkDir lets through leaves room for sockets, in the 64th attempt too.
func TestSocketsFitInTMPDIR(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	for n := 1; shell.CheckWorkDir(dir+strings.Repeat("x", n)) == nil; n++ {
		dir += "x"
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e := executor(t, shell.Config{Dir: dir})
	for range 63 {
		w, err := e.Prepare(t.Context(), runtime.Job{BuildID: build.NewID(), Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
	}
	out := run(t, e, `printf "%s" "$TMPDIR"`, nil)
	if len(out)+40 >= 104 {
		t.Errorf("TMPDIR has %d bytes: %s", len(out), out)
	}
}

// TestSweepOfAnEarlierVersion: workspaces of before, in the state directory and named by their attempt, are found with their processes, and the
// caches are kept.
func TestSweepOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), shortDir(t)
	old := executor(t, shell.Config{Dir: state})
	run(t, old, `mkdir -p "$npm_config_cache"; echo kept > "$npm_config_cache/x"`, nil)
	job := runtime.Job{BuildID: build.NewID(), Attempt: 1}
	w, err := old.Prepare(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := w.Run(t.Context(), runtime.Command{Run: `(trap "" TERM; while :; do touch alive; sleep 0.05; done) & :`, Dir: w.Dir(), Output: &out}); err != nil {
		t.Fatal(err)
	}
	// The earlier version's name, and no file that names the attempt.
	was := filepath.Dir(w.Dir())
	if err := errors.Join(os.Remove(filepath.Join(was, "attempt")), os.Rename(was, filepath.Join(state, "builds", job.Key()))); err != nil {
		t.Fatal(err)
	}
	e := executor(t, shell.Config{Dir: dir, StateDir: state})
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(state, "builds")); err != nil || len(left) != 0 {
		t.Errorf("after Sweep there is %v, %v", left, err)
	}
	if got := run(t, e, `cat "$npm_config_cache/x"`, nil); got != "kept\n" {
		t.Errorf("the cache has %q", got)
	}
}

// TestOneWorkerForAWorkDirectory: a second worker would end the builds of the first.
func TestOneWorkerForAWorkDirectory(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	first := executor(t, shell.Config{Dir: dir, StateDir: t.TempDir()})
	if err := first.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := shell.New(t.Context(), shell.Config{Dir: dir, StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Sweep(t.Context()); !errors.Is(err, shell.ErrWorkDir) || !strings.Contains(err.Error(), "used by another worker") {
		t.Errorf("Sweep = %v, want ErrWorkDir", err)
	}
	if got := run(t, first, "echo builds", nil); got != "builds\n" {
		t.Errorf("the first says %q", got)
	}
}
