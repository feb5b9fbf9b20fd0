package standalone_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestBackupOfARunningServer: builds are submitted, run and end while the directory is copied. The server is killed and one started on
// the copy: what was acknowledged before the copy began is there, ends once, and its files are whole; the worker goes on.
func TestBackupOfARunningServer(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--heartbeat-timeouts", "all=3s")
	f.worker("mini", "slow=50ms")
	before := []string{f.submitLarge()}
	for range 8 {
		before = append(before, f.submit())
	}
	f.completedOnce(before[0])
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // load, for as long as the copy takes
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: bytes.NewReader(nil)}) // refused: an empty source
				_, _ = f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: project(t)})
			}
		}
	}()
	to := filepath.Join(t.TempDir(), "copy")
	p := run(t, nil, "backup", "--data-dir", f.dir, to)
	err := <-p.done
	p.done <- err
	close(stop)
	<-stopped
	if err != nil || !strings.Contains(p.out.String(), "4 databases, 1 files linked") {
		t.Fatalf("backup = %v, %s", err, p.out.String())
	}
	f.kill()
	f.dir = to
	f.up()
	for _, id := range before { // a build that ran begins again, when its silence has been noticed
		b := f.becomes(id, "build "+id+" completes", api.Build.Final)
		var got bytes.Buffer
		if err := f.client().Builds.DownloadResult(t.Context(), b, &got, 0, nil, nil); err != nil || b.Status != "completed" {
			t.Errorf("build = %+v, %v, want it completed and its result whole", b, err)
		}
	}
	if again, err := f.client().Builds.Retry(t.Context(), before[0]); err != nil { // its source is in the copy
		t.Errorf("retry: %v", err)
	} else {
		f.completedOnce(again.ID)
	}
	f.completedOnce(f.submit())
}

// submitLarge submits a source that is too large for the database.
func (f *farm) submitLarge() string {
	f.t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	noise := make([]byte, 200<<10)
	_, _ = rand.Read(noise) // never fails
	for name, data := range map[string][]byte{"package.json": []byte(`{"name":"hello"}`), "noise": noise} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		f.t.Fatal(err)
	}
	sub, err := f.client().Builds.Submit(f.t.Context(), api.Submit{Platform: "android", Source: &buf})
	if err != nil {
		f.t.Fatal(err)
	}
	return sub.ID
}

// TestBackupRefuses what is no data directory, and replaces nothing; what a broken backup left does not matter.
func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := standalone.Backup(t.Context(), dir, filepath.Join(dir, "to")); err == nil || !strings.Contains(err.Error(), "no data directory") {
		t.Errorf("of nothing: %v", err)
	}
	f := newFarm(t)
	f.stop()
	if _, err := standalone.Backup(t.Context(), f.dir, dir); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("over what is there: %v", err)
	}
	to := filepath.Join(dir, "to")
	if err := os.MkdirAll(to+".partial/rubbish", 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := standalone.Backup(t.Context(), f.dir, to)
	if err != nil || b.Databases != 4 {
		t.Errorf("of a stopped server: %+v, %v", b, err)
	}
	for _, name := range []string{"secrets/master.key", "secrets/issuer.nk", "scheduler.db"} {
		info, err := os.Stat(filepath.Join(to, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fmt.Sprint(info), err)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "rubbish")); err == nil {
		t.Error("what a broken backup left is in the new one")
	}
}

// TestBackupOfRelativeDirectories: as a user in the directory above types them.
func TestBackupOfRelativeDirectories(t *testing.T) {
	f := newFarm(t)
	f.kill()
	t.Chdir(filepath.Dir(f.dir))
	b, err := standalone.Backup(t.Context(), filepath.Base(f.dir), "copy")
	if err != nil || b.Databases != 4 {
		t.Errorf("Backup = %+v, %v, want 4 databases", b, err)
	}
}
