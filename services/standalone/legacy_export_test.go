package standalone_test

import (
	dbsql "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyexport"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyimport"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacytest"
)

// export exports a server into a new directory.
func export(t *testing.T, s *server, base string) (legacytest.Installation, *legacyexport.Report) {
	t.Helper()
	dir := t.TempDir()
	out := legacytest.Installation{Database: filepath.Join(dir, "controller.db"), Storage: filepath.Join(dir, "storage")}
	to, err := legacydb.Create(t.Context(), out.Database, base)
	if err != nil {
		t.Fatal(err)
	}
	r, err := legacyexport.Run(t.Context(), s.client(), to, legacyexport.Options{Dir: out.Storage, StoredAs: legacytest.StoredAs, Certs: legacyexport.All})
	if err != nil {
		t.Fatalf("export = %v", err)
	}
	return out, r
}

// table reads rows as text.
func table(t *testing.T, in legacytest.Installation, q string) (rows []string) {
	t.Helper()
	db, err := dbsql.Open("sqlite", "file:"+in.Database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := r.Scan(into...); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// differences lists which rows are only in one of two tables.
func differences(want, got []string) (missing, more []string) {
	count := map[string]int{}
	for _, row := range want {
		count[row]++
	}
	for _, row := range got {
		if count[row]--; count[row] < 0 {
			more = append(more, row)
		}
	}
	for _, row := range want {
		if count[row] > 0 {
			count[row]--
			missing = append(missing, row)
		}
	}
	return missing, more
}

// tree reads the files below a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// roundTrip takes an installation over and gives it back, with and without the database that it came from, and compares row by row
// and file by file. Equal is all but: what was assigned or building is pending, and what waits is told so in its log. Without
// the base tokens are other ones and rows of logs have other numbers.
func roundTrip(t *testing.T, in legacytest.Installation) {
	t.Helper()
	s := start(t, config(t))
	importAll(t, s.client(), in, legacyimport.Options{Certs: legacyimport.All})
	open := len(table(t, in, `SELECT id FROM builds WHERE status NOT IN ('completed', 'failed')`))
	for _, base := range []string{in.Database, ""} {
		out, r := export(t, s, base)
		for _, q := range []string{
			`SELECT * FROM diagnostics`, `SELECT * FROM cpu_snapshots`, `SELECT id, name, capabilities, status, registered_at, last_seen_at FROM workers WHERE status <> 'building'`,
			`SELECT * FROM builds WHERE status IN ('completed', 'failed')`,
			`SELECT id, platform, source_path, certs_path, submitted_at FROM builds ORDER BY rowid`,
		} {
			if base == "" {
				q = strings.Replace(q, "SELECT * FROM builds", "SELECT id, status, platform, source_path, certs_path, result_path, worker_id, submitted_at, started_at, completed_at, error_message FROM builds", 1)
				q = strings.ReplaceAll(q, " WHERE status <> 'building'", " WHERE id NOT IN (SELECT worker_id FROM builds WHERE status IN ('assigned', 'building'))")
			}
			missing, more := differences(table(t, in, q), table(t, out, q))
			if len(more) > 0 && strings.Contains(q, "FROM workers") { // one that was building is idle
				more = nil
			}
			if len(missing) > 0 || len(more) > 0 {
				t.Errorf("base %q: %s\nmissing %q\nmore %q", base, q, missing, more)
			}
		}
		lines := `SELECT build_id, timestamp, level, message FROM build_logs`
		if base != "" {
			lines = `SELECT * FROM build_logs`
		}
		missing, more := differences(table(t, in, lines), table(t, out, lines))
		ours := slices.DeleteFunc(slices.Clone(more), func(row string) bool {
			return strings.Contains(row, "Imported from the legacy controller") || strings.Contains(row, "No connected worker can build")
		})
		if len(missing) > 0 || len(ours) > 0 || len(more) < open {
			t.Errorf("base %q: log lines missing %q, more %q; want none missing, and more only of the %d builds that wait", base, missing, more, open)
		}
		if pending := table(t, out, `SELECT id FROM builds WHERE status = 'pending' AND worker_id IS NULL AND started_at IS NULL`); len(pending) != open {
			t.Errorf("base %q: %d builds are pending, want %d", base, len(pending), open)
		}
		if diff := cmp.Diff(tree(t, in.Storage), tree(t, out.Storage)); diff != "" {
			t.Errorf("base %q: files (-want +got):\n%s", base, diff)
		}
		if len(r.LeftOut) != 1 || !strings.Contains(r.LeftOut[0], "results") {
			t.Errorf("base %q: left out %q, want the lost result", base, r.LeftOut)
		}
	}
}

func TestRoundTrip(t *testing.T) { roundTrip(t, legacytest.New(t, plan())) }

func TestRoundTripOfTheOriginal(t *testing.T) { roundTrip(t, original(t)) }

// TestExportWhatHappenedSince: an imported build and one that was submitted here, both built here.
func TestExportWhatHappenedSince(t *testing.T) {
	in := legacytest.New(t, legacytest.Plan{Builds: 10, Workers: 2, Files: true})
	s := start(t, config(t))
	importAll(t, s.client(), in, legacyimport.Options{})
	w := &v1{t: t, url: s.URL(), key: s.Key(), id: legacytest.WorkerID(1)}
	took := w.poll()
	if code := w.upload(took, "true", "built here", false); code != 200 {
		t.Fatalf("upload = %d", code)
	}
	out, _ := export(t, s, in.Database)
	got := table(t, out, `SELECT status, worker_id, result_path, access_token FROM builds WHERE id = '`+took+`'`)
	want := []string{fmt.Sprint("completed ", legacytest.WorkerID(1), " ", legacytest.StoredAs, "/results/", took, ".ipa ", legacytest.Token(took))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("build (-want +got):\n%s", diff)
	}
	if data, err := os.ReadFile(filepath.Join(out.Storage, "results", took+".ipa")); err != nil || string(data) != "built here" {
		t.Errorf("result = %q, %v", data, err)
	}
	last := table(t, out, `SELECT message FROM build_logs WHERE build_id = '`+took+`' ORDER BY id DESC LIMIT 1`)
	if len(last) != 1 || last[0] != "Build completed successfully" {
		t.Errorf("last line of its log = %q", last)
	}
	if fault := table(t, out, `PRAGMA foreign_key_check`); len(fault) > 0 {
		t.Errorf("foreign keys: %q", fault)
	}
	if check := table(t, out, `PRAGMA integrity_check`); len(check) != 1 || check[0] != "ok" {
		t.Errorf("integrity: %q", check)
	}
}

// TestExportToAnotherFolder: with the legacy database as a base, paths lead to the files that were written, and stay where none was.
func TestExportToAnotherFolder(t *testing.T) {
	in := legacytest.New(t, plan())
	s := start(t, config(t))
	importAll(t, s.client(), in, legacyimport.Options{Certs: legacyimport.All})
	dir := t.TempDir()
	out := legacytest.Installation{Database: filepath.Join(dir, "controller.db"), Storage: filepath.Join(dir, "storage")}
	to, err := legacydb.Create(t.Context(), out.Database, in.Database)
	if err != nil {
		t.Fatal(err)
	}
	r, err := legacyexport.Run(t.Context(), s.client(), to, legacyexport.Options{Dir: out.Storage, StoredAs: "/elsewhere", Certs: legacyexport.All})
	if err != nil {
		t.Fatalf("export = %v", err)
	}
	old := table(t, out, `SELECT id FROM builds WHERE source_path LIKE '`+legacytest.StoredAs+`%' OR certs_path LIKE '`+legacytest.StoredAs+`%'`)
	results := table(t, out, `SELECT id FROM builds WHERE result_path LIKE '`+legacytest.StoredAs+`%'`)
	if len(old) != 0 || len(results) != len(r.LeftOut) {
		t.Errorf("old paths: %v, and of results %v; want none but the result that was left out: %v", old, results, r.LeftOut)
	}
}

// TestExportReplacesNothing that is there.
func TestExportReplacesNothing(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "controller.db")
	if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := legacydb.Create(t.Context(), name, ""); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("Create = %v, want a refusal", err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "precious" {
		t.Errorf("the file is %q now, %v", data, err)
	}
	if _, err := os.Stat(name + ".partial"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("partial file: %v", err)
	}
}
