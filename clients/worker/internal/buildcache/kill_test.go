//go:build unix

package buildcache

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// envWork has the test's own binary build again and again with a cache in that directory.
const envWork = "FREEAGENT_TEST_BUILDCACHE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envWork); dir != "" {
		fmt.Fprintln(os.Stdout, workForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// installFiles is enough that a kill mostly hits the middle of something.
const installFiles = 100

// workForEver does what builds do: takes or restores an install, else makes and keeps it, and parks it.
func workForEver(dir string) error {
	s := New(Config{Dir: filepath.Join(dir, "caches"), Trusted: []string{"main"}, MaxBytes: 1 << 40, MaxAge: time.Hour})
	if _, err := os.Stat(filepath.Join(dir, "caches")); err != nil { // the first has something to keep, however slow the machine is
		if err := work(s, filepath.Join(dir, "first"), 0); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stdout, "ready")
	for n := 0; ; n++ {
		if err := work(s, filepath.Join(dir, fmt.Sprintf("build-%d-%d", os.Getpid(), n)), n); err != nil {
			return err
		}
	}
}

func work(s *Store, dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx := testContext{}
	p, ok, err := s.Take(ctx, mainBranch, "install", "k", r)
	if err != nil {
		return err
	}
	if !ok {
		if p.Snapshot, ok, err = s.Restore(ctx, mainBranch, "install", "k", r); err != nil {
			return err
		}
	}
	if ok {
		if err := wholeInstall(dir); err != nil {
			return err
		}
	}
	if !ok || n%3 == 0 {
		if err := makeInstall(dir); err != nil {
			return err
		}
		if p.Snapshot, err = s.Keep(ctx, mainBranch, "install", "k", r, []string{"node_modules"}, 1<<30); err != nil {
			return err
		}
	}
	if p.Marks, err = MarksOf(ctx, r, p.Paths); err != nil {
		return err
	}
	return s.Park(ctx, mainBranch, "install", "k", r, p)
}

// testContext never ends: the process does.
type testContext struct{}

func (testContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (testContext) Done() <-chan struct{}       { return nil }
func (testContext) Err() error                  { return nil }
func (testContext) Value(any) any               { return nil }

func makeInstall(dir string) error {
	for i := range installFiles {
		name := filepath.Join(dir, fmt.Sprintf("node_modules/p%d/index.js", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(strings.Repeat("x", i)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func wholeInstall(dir string) error {
	for i := range installFiles {
		info, err := os.Stat(filepath.Join(dir, fmt.Sprintf("node_modules/p%d/index.js", i)))
		if err != nil {
			return err
		}
		if info.Size() != int64(i) {
			return fmt.Errorf("%s has %d bytes, want %d", info.Name(), info.Size(), i)
		}
	}
	return nil
}

// TestKilledWorkers: a worker that is killed at any moment leaves whole caches or none, and what is left half done goes.
func TestKilledWorkers(t *testing.T) {
	dir := t.TempDir()
	for round := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envWork+"="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatalf("round %d: the worker said %q", round, lines.Text())
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			t.Errorf("round %d: the worker found: %s", round, lines.Text())
		}
		kill.Stop()
		_ = cmd.Wait()
	}
	s := New(Config{Dir: filepath.Join(dir, "caches"), Trusted: []string{"main"}, MaxBytes: 1 << 40, MaxAge: time.Hour})
	own, _ := s.own(mainBranch)
	left, err := os.ReadDir(own)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * pruneEvery)
	for _, e := range left {
		if strings.HasPrefix(e.Name(), ".") {
			if err := os.Chtimes(filepath.Join(own, e.Name()), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Prune(time.Now()); err != nil {
		t.Fatal(err)
	}
	if left, err = os.ReadDir(own); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) {
		t.Errorf("left after pruning: %v, %v", left, err)
	}
	if err := work(s, filepath.Join(dir, "last"), 1); err != nil {
		t.Error(err)
	}
}
