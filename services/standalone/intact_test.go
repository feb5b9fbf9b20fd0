package standalone_test

import (
	"context"
	databasesql "database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone"
)

// patienceOfStart is ample for a start that is refused.
const patienceOfStart = 30 * time.Second

// copyOf copies a data directory as a backup does.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if _, err := standalone.Backup(t.Context(), dir, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// refuses says how a start on dir ends; it must not come about.
func refuses(t *testing.T, dir string, more ...string) string {
	t.Helper()
	p := run(t, []string{"FREEAGENT_API_KEY=" + farmKey}, append([]string{"up", "--port", "0", "--data-dir", dir}, more...)...)
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfStart)
	defer cancel()
	select {
	case err := <-p.done:
		p.done <- err
		if err == nil {
			t.Errorf("up on %s ended well, want a refusal", dir)
		}
	case <-ctx.Done():
		t.Errorf("up on a damaged directory starts: %s", p.out.String())
	}
	return p.out.String()
}

// TestAHalfRestoreIsRefused: a data directory of which a part is missing, new or another's does not start as if it were an empty farm;
// what is missing is named, and so is the way on.
func TestAHalfRestoreIsRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.worker("w", "size=100KiB")
	f.completedOnce(f.submit())
	f.stop()
	monday := copyOf(t, f.dir)
	remove := func(names ...string) func(dir string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
			}
			return err
		}
	}
	take := func(name string) func(dir string) error {
		return func(dir string) error {
			data, err := os.ReadFile(filepath.Join(monday, name))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
	}
	for what, c := range map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"no scheduler.db":       {remove("scheduler.db"), "scheduler.db is missing"},
		"an empty scheduler.db": {func(dir string) error { return os.Truncate(filepath.Join(dir, "scheduler.db"), 0) }, "scheduler.db is missing"},
		"no artifact.db":        {remove("artifact.db"), "artifact.db is missing"},
		"no master key":         {remove("secrets/master.key"), "secrets/master.key is missing"},
		"no secrets":            {remove("secrets"), "secrets/ is missing"},
		"no objects":            {remove("objects"), "objects/ is missing"},
		"only the scheduler's":  {remove("artifact.db", "monitor.db", "ingest.db", "objects", "secrets", "installation"), "artifact.db is missing"},
		"a database of Monday":  {take("scheduler.db"), "scheduler.db belongs to another data directory or backup"},
		"another master key": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "secrets/master.key"), make([]byte, 32), 0o600)
		}, "another key"},
		"no scheduler.db, unmarked": {remove("scheduler.db", "installation"), "scheduler.db is missing"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := copyOf(t, f.dir)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			said := refuses(t, dir)
			if !strings.Contains(said, c.want) || !strings.Contains(said, "--accept-empty") {
				t.Errorf("up said %q, want %q and the way on", said, c.want)
			}
			if strings.HasPrefix(what, "another") || strings.HasSuffix(what, "Monday") {
				return
			}
			g := &farm{t: t, dir: dir, port: freePort(t), flags: []string{"--accept-empty"}}
			g.up()
			g.stop()
			g.flags = nil // once is enough
			g.up()
			g.stop()
		})
	}
}

// TestAnOldDirectoryIsLookedAtToo: one that no version with stamps has opened.
func TestAnOldDirectoryIsLookedAtToo(t *testing.T) {
	t.Parallel()
	for what, names := range map[string][]string{
		"scheduler.db is missing": {"scheduler.db"}, "artifact.db is missing": {"artifact.db"}, "secrets/master.key is missing": {"secrets/master.key"},
		"objects/ is missing": {"objects"},
	} {
		f, _ := keptFarm(t, "v0.1.0")
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if said := refuses(t, f.dir); !strings.Contains(said, what) {
			t.Errorf("up said %q, want %q", said, what)
		}
	}
}

// TestAFirstStartThatWasKilled can be repeated, wherever it was killed: nothing was lost.
func TestAFirstStartThatWasKilled(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.kill() // nothing was submitted
	for _, name := range []string{"installation", "ingest.db", "monitor.db", "scheduler.db", "objects/installation", "secrets/token.key", "artifact.db"} {
		for _, more := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(f.dir, name+more)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(f.dir)); err != nil {
			t.Fatal(err)
		}
		for _, db := range []string{"scheduler", "monitor", "ingest", "artifact"} { // not stamped yet at that time
			unstamp(t, filepath.Join(dir, db+".db"))
		}
		for _, part := range []string{"secrets", "objects"} {
			if err := os.RemoveAll(filepath.Join(dir, part, "installation")); err != nil {
				t.Fatal(err)
			}
		}
		g := &farm{t: t, dir: dir, port: freePort(t)}
		g.up()
		g.stop()
	}
}

// unstamp takes the stamp and the mark out of a database, if there is one.
func unstamp(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	db, err := databasesql.Open("sqlite", "file:"+path)
	if err == nil {
		_, err = db.ExecContext(t.Context(), "PRAGMA user_version = 0; PRAGMA application_id = 0")
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestADamagedDatabaseIsRefused: pages that are no pages of a database are found at the start.
func TestADamagedDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.worker("w", "")
	for range 20 {
		f.completedOnce(f.submit())
	}
	f.stop()
	path := filepath.Join(f.dir, "scheduler.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 5; page < len(data)/4096-1; page += 2 { // the schema's page stays whole
		copy(data[page*4096:], strings.Repeat("damage!!", 64))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := refuses(t, f.dir); !strings.Contains(said, "scheduler.db") || !strings.Contains(said, "backup") {
		t.Errorf("up said %q, want the damaged file and the cure", said)
	}
}
