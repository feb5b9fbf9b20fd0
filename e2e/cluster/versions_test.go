//go:build e2e

package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
)

// oldVersion is the version before this one, v0.1.0. A release replaces it by its own.
const oldVersion = "edeb2afe82ebd80857a758265a742be9e8ce7827"

// TestTwoVersionsSideBySide updates a running installation of the old version to this one, process by process, back and forward
// again, while clients build: both versions serve at once on the new schemas, and no build is lost or done twice.
func TestTwoVersionsSideBySide(t *testing.T) {
	newBin, oldBin := os.Getenv("FREEAGENT_CLUSTER_BIN"), buildOld(t)
	c := start(t, func(cfg *cluster.Config) {
		cfg.Bin = oldBin
		// Old names: the old version knows no others, and the new one still accepts them.
		cfg.Services = []string{"FREEAGENT_DRAIN_DELAY=1s", "FREEAGENT_STAGE_TTLS=prepare=3m", "FREEAGENT_WORKER_SILENCE=16s"}
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	u := &users{t: t, client: client(t, c, time.Minute)}
	for range 3 {
		u.wg.Go(func() { u.build(ctx) })
	}
	u.wg.Go(func() { u.look(ctx) })
	second := func(p *cluster.Process) bool { return strings.HasSuffix(p.Name, "-2") }
	every := func(*cluster.Process) bool { return true }
	for _, step := range []struct {
		what, bin string
		which     func(*cluster.Process) bool
	}{
		{"one of each new", newBin, second}, {"one of each old again", oldBin, second}, {"all new", newBin, every},
	} {
		for _, kind := range []string{"scheduler", "monitor", "artifact", "ingest"} {
			for _, p := range c.Processes() {
				if p.Kind == kind && step.which(p) {
					replace(t, c, p, filepath.Join(step.bin, kind))
				}
			}
		}
		u.more(5)
		t.Logf("%s: %d builds so far", step.what, u.count())
	}
	// A worker of the old version goes on beside one of the new.
	for _, p := range c.Processes() {
		if p.Name == "worker-1" {
			replace(t, c, p, filepath.Join(newBin, "freeagent"))
		}
	}
	u.more(5)
	stop()
	u.wg.Wait()
	u.settle()
	t.Logf("%d calls, %d builds", u.calls, len(u.ids))
}

// replace stops a process, which finishes what it does, and starts another program in its place.
func replace(t *testing.T, c *cluster.Cluster, p *cluster.Process, program string) {
	t.Helper()
	err := p.Stop()
	p.Use(program)
	err = errors.Join(err, p.Start(), c.Ready(t.Context()))
	if err != nil {
		t.Fatalf("%s as %s: %v", p.Name, program, err)
	}
}

func (u *users) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.ids)
}

// more waits until so many more builds were submitted.
func (u *users) more(n int) {
	u.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for want := u.count() + n; u.count() < want; {
		select {
		case <-tick.C:
		case <-deadline:
			u.t.Fatalf("%d builds were submitted, want %d", u.count(), want)
		}
	}
}

// buildOld builds the programs of the old version beside the engines that the new one runs on.
func buildOld(t *testing.T) string {
	t.Helper()
	root := strings.TrimSpace(output(t, ".", "git", "rev-parse", "--show-toplevel"))
	if _, err := exec.CommandContext(t.Context(), "git", "-C", root, "cat-file", "-e", oldVersion+"^{commit}").Output(); err != nil {
		t.Skipf("commit %.12s is not in this clone: fetch the whole history to run two versions side by side", oldVersion)
	}
	src, bin := t.TempDir(), t.TempDir()
	archive, err := exec.CommandContext(t.Context(), "git", "-C", root, "archive", oldVersion).Output()
	if err != nil {
		t.Fatal(err)
	}
	untar := exec.CommandContext(t.Context(), "tar", "-x", "-C", src)
	untar.Stdin = bytes.NewReader(archive)
	if out, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v: %s", err, out)
	}
	for _, service := range []string{"scheduler", "monitor", "artifact", "ingest"} {
		output(t, filepath.Join(src, "services", service), "go", "build", "-trimpath", "-o", filepath.Join(bin, service), "./cmd/"+service)
	}
	output(t, filepath.Join(src, "services", "standalone"), "go", "build", "-trimpath", "-o", filepath.Join(bin, "freeagent"), "./cmd/freeagent")
	engines, err := os.ReadDir(os.Getenv("FREEAGENT_CLUSTER_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range engines {
		err := os.Symlink(filepath.Join(os.Getenv("FREEAGENT_CLUSTER_BIN"), e.Name()), filepath.Join(bin, e.Name()))
		if err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	return bin
}

func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("%s %v: %w: %s", name, args, err, errs.String()))
	}
	return string(out)
}
