package standalone_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyimport"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacytest"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// plan is an installation with everything in it.
func plan() legacytest.Plan {
	return legacytest.Plan{Builds: 130, Workers: 7, Lines: 12, Snapshots: 2500, Reports: 120, Files: true}
}

func open(t testing.TB, in legacytest.Installation) *legacydb.Controller {
	t.Helper()
	c, err := legacydb.Open(t.Context(), in.Database, in.Storage, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func importAll(t testing.TB, c *api.Client, in legacytest.Installation, opts legacyimport.Options) *legacyimport.Report {
	t.Helper()
	if opts.Certs == "" {
		opts.Certs = legacyimport.Unfinished
	}
	r, err := legacyimport.Run(t.Context(), c, open(t, in), opts)
	if err != nil {
		t.Fatalf("import = %v; exceptions %v", err, r.Exceptions)
	}
	return r
}

// counts returns found, imported, present, left out and differing items by kind.
func counts(r *legacyimport.Report) map[string][5]int64 {
	m := map[string][5]int64{}
	for _, row := range r.Rows {
		m[row.Kind] = [5]int64{row.Found, row.Imported, row.Present, row.LeftOut, row.Differ}
	}
	return m
}

// moved swaps the imported and the present items of counts.
func moved(m map[string][5]int64) map[string][5]int64 {
	n := map[string][5]int64{}
	for kind, c := range m {
		n[kind] = [5]int64{c[0], c[2], c[1], c[3], c[4]}
	}
	return n
}

// TestImport: a dry run writes nothing, a run imports everything, a second one changes nothing, and all of it is there.
func TestImport(t *testing.T) {
	in := legacytest.New(t, plan())
	s := start(t, config(t))
	c := s.client()
	dry := importAll(t, c, in, legacyimport.Options{DryRun: true})
	if list, err := c.Builds.List(t.Context(), api.ListOptions{}); err != nil || len(list.Builds) != 0 || len(storedObjects(t, s)) != 0 {
		t.Fatalf("after a dry run there are builds %v, files %v, %v", list.Builds, storedObjects(t, s), err)
	}
	first := importAll(t, c, in, legacyimport.Options{})
	if diff := cmp.Diff(counts(dry), counts(first)); diff != "" {
		t.Errorf("the dry run said otherwise (-dry +true):\n%s", diff)
	}
	want := map[string][5]int64{
		legacyimport.Workers: {7, 7, 0, 0, 0}, legacyimport.Builds: {130, 130, 0, 0, 0}, legacyimport.Tokens: {130, 130, 0, 0, 0},
		legacyimport.Sources: {130, 130, 0, 0, 0}, legacyimport.Certs: {44, 2, 0, 42, 0}, legacyimport.Results: {101, 100, 0, 1, 0},
		legacyimport.Snapshots: {2500, 2500, 0, 0, 0}, legacyimport.Reports: {120, 120, 0, 0, 0},
	}
	got := counts(first)
	delete(got, legacyimport.Lines)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if row := first.Of(legacyimport.Lines); row.Found < 1500 || row.Imported != row.Found || !first.Verified {
		t.Errorf("log lines %+v, verified %v", row, first.Verified)
	}
	files := len(storedObjects(t, s))
	second := importAll(t, c, in, legacyimport.Options{})
	if diff := cmp.Diff(moved(counts(first)), counts(second)); diff != "" {
		t.Errorf("second run (-want +got):\n%s", diff)
	}
	if n := len(storedObjects(t, s)); n != files {
		t.Errorf("the second run made %d files of %d", n, files)
	}
	same(t, s.URL(), s.Key(), in)
	sealed(t, s)
}

// TestImportedBuildsAreBuilt, by a worker that goes on under the id that it had, with the certificates that were there.
func TestImportedBuildsAreBuilt(t *testing.T) {
	in := legacytest.New(t, plan())
	s := start(t, config(t))
	importAll(t, s.client(), in, legacyimport.Options{})
	w := &v1{t: t, url: s.URL(), key: s.Key(), id: legacytest.WorkerID(3)}
	for n := 126; n < 130; n++ {
		id := legacytest.BuildID(n)
		if got := w.poll(); got != id {
			t.Fatalf("poll = %s, want %s: the oldest first", got, id)
		}
		if n%3 == 0 {
			if got, want := w.get("/api/builds/"+id+"/certs"), "certificates of "+id; got != want {
				t.Errorf("certs of %s = %q, want %q", id, got, want)
			}
		}
		if got := w.get("/api/builds/" + id + "/source"); !strings.HasPrefix(got, "PK") {
			t.Errorf("source of %s = %.20q, want a zip", id, got)
		}
		if code := w.upload(id, "true", "built here", false); code != http.StatusOK {
			t.Fatalf("upload = %d", code)
		}
		if body, code := w.withToken("/api/builds/"+id+"/download", legacytest.Token(id)); code != http.StatusOK || string(body) != "built here" {
			t.Errorf("download with the old token = %d %q", code, body)
		}
	}
	again := importAll(t, s.client(), in, legacyimport.Options{})
	if row := again.Of(legacyimport.Builds); row.Present != 130 || !again.Verified {
		t.Errorf("after they were built: %+v, %v", row, again.Exceptions)
	}
}

// TestImportWhileItRuns: what has ended comes first, the rest when the controller has stopped; the hole is filled when the file is
// there again.
func TestImportWhileItRuns(t *testing.T) {
	in := legacytest.New(t, plan())
	s := start(t, config(t))
	early := importAll(t, s.client(), in, legacyimport.Options{EndedOnly: true})
	if row := early.Of(legacyimport.Builds); row.Imported != 126 || row.LeftOut != 4 {
		t.Errorf("while it runs: %+v, want 126 imported and 4 left", row)
	}
	in.Exec(t, `UPDATE builds SET status = 'failed', error_message = 'late', completed_at = submitted_at + 9000 WHERE id = ?`, legacytest.BuildID(127))
	lost := filepath.Join(in.Storage, "results", in.Lost+".ipa")
	if err := os.WriteFile(lost, []byte("found again"), 0o600); err != nil {
		t.Fatal(err)
	}
	late := importAll(t, s.client(), in, legacyimport.Options{})
	if row := late.Of(legacyimport.Builds); row.Imported != 5 || row.Present != 125 {
		t.Errorf("afterwards: %+v, want 4 builds more, and one whose file was found", row)
	}
	if row := late.Of(legacyimport.Results); row.Imported != 1 || row.LeftOut != 0 {
		t.Errorf("results afterwards: %+v, want the lost one", row)
	}
	same(t, s.URL(), s.Key(), in)
}

// TestImportTellsWhatDiffers, and leaves it.
func TestImportTellsWhatDiffers(t *testing.T) {
	in := legacytest.New(t, plan())
	s := start(t, config(t))
	importAll(t, s.client(), in, legacyimport.Options{})
	in.Exec(t, `UPDATE builds SET error_message = 'otherwise' WHERE id = ?`, legacytest.BuildID(4))
	r, err := legacyimport.Run(t.Context(), s.client(), open(t, in), legacyimport.Options{Certs: legacyimport.Unfinished})
	if !errors.Is(err, legacyimport.ErrDiffers) || r.Of(legacyimport.Builds).Differ != 1 || !r.Verified {
		t.Errorf("import = %v, %+v, want one build that differs", err, r.Of(legacyimport.Builds))
	}
}

// TestImportOfWhatIsOdd: rows that no server can take are told one by one, and are not fatal.
func TestImportOfWhatIsOdd(t *testing.T) {
	in := legacytest.New(t, legacytest.Plan{Builds: 20, Workers: 2, Files: true})
	in.Exec(t, `UPDATE builds SET id = 'a build' WHERE id = ?`, legacytest.BuildID(0))
	in.Exec(t, `UPDATE builds SET platform = 'windows' WHERE id = ?`, legacytest.BuildID(1))
	in.Exec(t, `UPDATE builds SET source_path = '../../../etc/passwd', certs_path = '/srv/../..' WHERE id = ?`, legacytest.BuildID(2))
	in.Exec(t, `UPDATE builds SET completed_at = NULL, error_message = ? WHERE id = ?`, strings.Repeat("x", 100_000), legacytest.BuildID(4))
	in.Exec(t, `UPDATE builds SET source_path = '/gone/builds/none.zip' WHERE id = ?`, legacytest.BuildID(19))
	in.Exec(t, `UPDATE workers SET name = '', capabilities = 'no JSON' WHERE id = ?`, legacytest.WorkerID(0))
	in.Exec(t, `INSERT INTO build_logs (build_id, timestamp, level, message) VALUES ('nobody', 1, 'info', 'x'), (?, 2, 'FATAL', ?)`,
		legacytest.BuildID(5), []byte("not \xff UTF-8"))
	in.Exec(t, `INSERT INTO cpu_snapshots (build_id, timestamp, cpu_percent, memory_mb) VALUES ('nobody', 1, 1, 1)`)
	in.Exec(t, `INSERT INTO diagnostics VALUES ('r1', ?, 'splendid', 1, 1.5, NULL, '[]'), ('r2', ?, 'healthy', 1, 1.5, NULL, '[]')`,
		legacytest.WorkerID(0), legacytest.WorkerID(1))
	s := start(t, config(t))
	r := importAll(t, s.client(), in, legacyimport.Options{})
	for kind, left := range map[string]int64{legacyimport.Builds: 2, legacyimport.Tokens: 2, legacyimport.Snapshots: 1, legacyimport.Reports: 1, legacyimport.Workers: 0} {
		if row := r.Of(kind); row.LeftOut != left || row.Found != row.Imported+left {
			t.Errorf("%+v, want %d left out", row, left)
		}
	}
	b, err := s.client().Builds.Get(t.Context(), legacytest.BuildID(19))
	if err != nil || b.Status != "failed" || !strings.Contains(b.Error, "source") {
		t.Errorf("the build that waited without a source = %+v, %v, want it failed", b, err)
	}
}

// TestImportOfLongLogs: one that is too long to hold is written down under way, and of one whose build goes on here what comes
// first is kept. Nothing stays behind.
func TestImportOfLongLogs(t *testing.T) {
	in := legacytest.New(t, legacytest.Plan{Builds: 5, Workers: 1, Lines: 50_000, Files: true})
	s := start(t, config(t))
	dir := t.TempDir()
	r := importAll(t, s.client(), in, legacyimport.Options{TempDir: dir})
	row := r.Of(legacyimport.Lines)
	if kept := row.Imported; kept < 50_003 || row.LeftOut < 80_000 || row.Found != row.LeftOut+kept {
		t.Errorf("log lines %+v, want a whole log and the beginnings of two", row)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestImportOfTheOriginal imports what the original controller itself wrote.
func TestImportOfTheOriginal(t *testing.T) {
	in := original(t)
	s := start(t, config(t))
	first := importAll(t, s.client(), in, legacyimport.Options{Certs: legacyimport.All})
	for _, row := range first.Rows {
		holes := int64(0)
		if row.Kind == legacyimport.Results {
			holes = 1 // removed on purpose
		}
		if row.Found == 0 || row.Imported != row.Found-holes || row.LeftOut != holes || row.Differ != 0 {
			t.Errorf("%+v, want all but %d imported", row, holes)
		}
	}
	same(t, s.URL(), s.Key(), in)
	second := importAll(t, s.client(), in, legacyimport.Options{Certs: legacyimport.All})
	if diff := cmp.Diff(moved(counts(first)), counts(second)); diff != "" {
		t.Errorf("second run (-want +got):\n%s", diff)
	}
}

// original is an installation of the original controller.
func original(t *testing.T) legacytest.Installation {
	t.Helper()
	dir := os.Getenv("FREEAGENT_LEGACY")
	if dir == "" {
		t.Skip("FREEAGENT_LEGACY names no directory with the original controller's controller.db and storage")
	}
	return legacytest.Installation{Database: filepath.Join(dir, "controller.db"), Storage: filepath.Join(dir, "storage")}
}

// TestImportOfAnotherFile: what is not the legacy controller's, or is still written, is refused in a sentence.
func TestImportOfAnotherFile(t *testing.T) {
	t.Parallel()
	in := legacytest.New(t, legacytest.Plan{Builds: 1, Workers: 1})
	if _, err := legacydb.Open(t.Context(), filepath.Join(in.Storage, "nothing"), in.Storage, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file = %v", err)
	}
	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(other, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := legacydb.Open(t.Context(), other, in.Storage, false); err == nil || !strings.Contains(err.Error(), "not the legacy controller's") {
		t.Errorf("another file = %v", err)
	}
	if err := os.WriteFile(in.Database+"-wal", []byte("pages"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := legacydb.Open(t.Context(), in.Database, in.Storage, false); !errors.Is(err, legacydb.ErrInUse) {
		t.Errorf("one that is written = %v, want %v", err, legacydb.ErrInUse)
	}
}
