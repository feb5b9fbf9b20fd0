package standalone_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// cloneDir copies a directory that no process uses, file by file.
func cloneDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// builds counts the builds that the server lists.
func (f *farm) builds() int {
	f.t.Helper()
	list, err := f.client().Builds.List(f.t.Context(), api.ListOptions{Limit: 100})
	if err != nil {
		f.t.Fatal(err)
	}
	return len(list.Builds)
}

// TestALostWALIsRefused: after a kill the last commits are in the -wal files. A directory without one of them does not start as
// if nothing were missing, also if only the .db files were copied from a running server.
func TestALostWALIsRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.stop()
	f.up()
	f.submit()
	f.submit()
	f.kill()
	for _, name := range []string{"scheduler", "monitor", "ingest", "artifact"} {
		dir := cloneDir(t, f.dir)
		if err := os.Remove(filepath.Join(dir, name+".db-wal")); err != nil {
			t.Fatal(err)
		}
		if said := refuses(t, dir); !strings.Contains(said, name+".db-wal is missing") || !strings.Contains(said, "--accept-empty") {
			t.Errorf("up said %q, want the file and the way on", said)
		}
		if name == "scheduler" {
			g := &farm{t: t, dir: dir, port: freePort(t), flags: []string{"--accept-empty"}}
			g.up()
			g.kill()
			g.flags = nil // once is enough
			g.up()
			g.stop()
		}
	}
	// A backup of the killed directory has all builds, and leaves the directory as it was.
	g := &farm{t: t, dir: copyOf(t, f.dir), port: freePort(t)}
	g.up()
	if n := g.builds(); n != 2 {
		t.Errorf("the backup has %d builds, want 2", n)
	}
	g.stop()
	f.up()
	if n := f.builds(); n != 2 {
		t.Errorf("the server has %d builds after a backup, want 2", n)
	}
	running := copyOf(t, f.dir)
	f.stop()
	for _, dir := range []string{f.dir, running} { // a clean stop and a backup need no -wal
		left, err := filepath.Glob(filepath.Join(dir, "*.db-*"))
		if err != nil || len(left) != 0 {
			t.Errorf("%s has %v, %v, want only databases", dir, left, err)
		}
		g := &farm{t: t, dir: dir, port: freePort(t)}
		g.up()
		g.stop()
	}
}

// TestAKilledStartOrStopIsNoDamage kills servers at random moments of their start and of their stop; the directory always starts again.
func TestAKilledStartOrStopIsNoDamage(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.submit()
	f.stop()
	random := rand.New(rand.NewPCG(uint64(settingOr(t, killSeed, 1)), 0))
	for range settingOr(t, killKills, 10) {
		f.process = f.command(filepath.Join(t.TempDir(), "ready.json"))
		f.endsAfter(time.Duration(random.IntN(1500))*time.Millisecond, syscall.SIGKILL)
		f.up()
		f.signal(syscall.SIGTERM)
		f.endsAfter(time.Duration(random.IntN(300))*time.Millisecond, syscall.SIGKILL)
		if _, err := standalone.Backup(t.Context(), f.dir, filepath.Join(t.TempDir(), "copy")); err != nil {
			t.Fatal(err)
		}
	}
	f.up()
	if n := f.builds(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
	f.stop()
}

// endsAfter lets the server run for a while, or until it ends by itself, and then sends it the signal.
func (f *farm) endsAfter(d time.Duration, s syscall.Signal) {
	f.t.Helper()
	select {
	case <-time.After(d): // the moment of the kill is what is tried
		f.signal(s)
		f.done <- <-f.done
	case err := <-f.done:
		f.done <- err
		if err != nil {
			f.t.Fatalf("the server ended by itself: %v\n%s", err, f.out.String())
		}
	}
}

// TestExchangedDatabasesAreRefused: a database under another one's name is recognised before anything is written to it.
func TestExchangedDatabasesAreRefused(t *testing.T) {
	t.Parallel()
	marked := newFarm(t)
	marked.submit()
	marked.stop()
	old, _ := keptFarm(t, "v0.1.0")
	for _, f := range []*farm{marked, old} {
		for _, pair := range [][2]string{{"artifact", "ingest"}, {"scheduler", "monitor"}} {
			dir := cloneDir(t, f.dir)
			exchange := func() {
				for _, more := range []string{"", "-wal", "-shm"} {
					a, b, free := filepath.Join(dir, pair[0]+".db"+more), filepath.Join(dir, pair[1]+".db"+more), filepath.Join(dir, "free")
					for _, move := range [][2]string{{a, free}, {b, a}, {free, b}} {
						if err := os.Rename(move[0], move[1]); err != nil && !os.IsNotExist(err) {
							t.Fatal(err)
						}
					}
				}
			}
			exchange()
			for _, more := range [][]string{nil, {"--accept-empty"}} {
				said := refuses(t, dir, more...)
				if !strings.Contains(said, pair[0]+".db has the data of "+pair[1]+".db") || !strings.Contains(said, "Rename") {
					t.Errorf("up %v said %q, want both names and the cure", more, said)
				}
			}
			exchange()
			g := &farm{t: t, dir: dir, port: freePort(t)}
			g.up()
			g.stop()
		}
	}
}
