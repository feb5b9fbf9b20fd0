package standalone_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/former"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/former/formertest"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/takeover"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// plan is an installation with everything in it.
func plan() formertest.Plan {
	return formertest.Plan{Builds: 130, Workers: 7, Lines: 12, Snapshots: 2500, Reports: 120, Files: true}
}

func open(t testing.TB, in formertest.Installation) *former.Controller {
	t.Helper()
	c, err := former.Open(t.Context(), in.Database, in.Storage, false)
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

func takeOver(t testing.TB, c *api.Client, in formertest.Installation, opts takeover.Options) *takeover.Report {
	t.Helper()
	if opts.Certs == "" {
		opts.Certs = takeover.Unfinished
	}
	r, err := takeover.Run(t.Context(), c, open(t, in), opts)
	if err != nil {
		t.Fatalf("import = %v; exceptions %v", err, r.Exceptions)
	}
	return r
}

// counts gives found, taken over, already there, left out and differing by kind.
func counts(r *takeover.Report) map[string][5]int64 {
	m := map[string][5]int64{}
	for _, row := range r.Rows {
		m[row.Kind] = [5]int64{row.Found, row.TakenOver, row.Present, row.LeftOut, row.Differ}
	}
	return m
}

// moved is counts with what was taken over as already there, and the reverse.
func moved(m map[string][5]int64) map[string][5]int64 {
	n := map[string][5]int64{}
	for kind, c := range m {
		n[kind] = [5]int64{c[0], c[2], c[1], c[3], c[4]}
	}
	return n
}

// TestTakeOver: a dry run writes nothing, a run takes everything over, a second one changes nothing, and all of it is there.
func TestTakeOver(t *testing.T) {
	in := formertest.New(t, plan())
	s := start(t, config(t))
	c := s.client()
	dry := takeOver(t, c, in, takeover.Options{DryRun: true})
	if list, err := c.Builds.List(t.Context(), api.ListOptions{}); err != nil || len(list.Builds) != 0 || len(storedObjects(t, s)) != 0 {
		t.Fatalf("after a dry run there are builds %v, files %v, %v", list.Builds, storedObjects(t, s), err)
	}
	first := takeOver(t, c, in, takeover.Options{})
	if diff := cmp.Diff(counts(dry), counts(first)); diff != "" {
		t.Errorf("the dry run said otherwise (-dry +true):\n%s", diff)
	}
	want := map[string][5]int64{
		takeover.Workers: {7, 7, 0, 0, 0}, takeover.Builds: {130, 130, 0, 0, 0}, takeover.Tokens: {130, 130, 0, 0, 0},
		takeover.Sources: {130, 130, 0, 0, 0}, takeover.Certs: {44, 2, 0, 42, 0}, takeover.Results: {101, 100, 0, 1, 0},
		takeover.Snapshots: {2500, 2500, 0, 0, 0}, takeover.Reports: {120, 120, 0, 0, 0},
	}
	got := counts(first)
	delete(got, takeover.Lines)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if row := first.Of(takeover.Lines); row.Found < 1500 || row.TakenOver != row.Found || !first.Verified {
		t.Errorf("log lines %+v, verified %v", row, first.Verified)
	}
	files := len(storedObjects(t, s))
	second := takeOver(t, c, in, takeover.Options{})
	if diff := cmp.Diff(moved(counts(first)), counts(second)); diff != "" {
		t.Errorf("second run (-want +got):\n%s", diff)
	}
	if n := len(storedObjects(t, s)); n != files {
		t.Errorf("the second run made %d files of %d", n, files)
	}
	same(t, s.URL(), s.Key(), in)
	sealed(t, s)
}

// TestTakenOverBuildsAreBuilt, by a worker that goes on under the id that it had, with the certificates that were there.
func TestTakenOverBuildsAreBuilt(t *testing.T) {
	in := formertest.New(t, plan())
	s := start(t, config(t))
	takeOver(t, s.client(), in, takeover.Options{})
	w := &v1{t: t, url: s.URL(), key: s.Key(), id: formertest.WorkerID(3)}
	for n := 126; n < 130; n++ {
		id := formertest.BuildID(n)
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
		if body, code := w.withToken("/api/builds/"+id+"/download", formertest.Token(id)); code != http.StatusOK || string(body) != "built here" {
			t.Errorf("download with the old token = %d %q", code, body)
		}
	}
	again := takeOver(t, s.client(), in, takeover.Options{})
	if row := again.Of(takeover.Builds); row.Present != 130 || !again.Verified {
		t.Errorf("after they were built: %+v, %v", row, again.Exceptions)
	}
}

func (w *v1) get(path string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", w.key)
	req.Header.Set("X-Worker-Id", w.id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s = %d %s, %v", path, resp.StatusCode, body, err)
	}
	return string(body)
}

// TestTakeOverWhileItRuns: what has ended comes first, the rest when the controller has stopped; the hole is filled when the file is
// there again.
func TestTakeOverWhileItRuns(t *testing.T) {
	in := formertest.New(t, plan())
	s := start(t, config(t))
	early := takeOver(t, s.client(), in, takeover.Options{EndedOnly: true})
	if row := early.Of(takeover.Builds); row.TakenOver != 126 || row.LeftOut != 4 {
		t.Errorf("while it runs: %+v, want 126 taken over and 4 left", row)
	}
	in.Exec(t, `UPDATE builds SET status = 'failed', error_message = 'late', completed_at = submitted_at + 9000 WHERE id = ?`, formertest.BuildID(127))
	lost := filepath.Join(in.Storage, "results", in.Lost+".ipa")
	if err := os.WriteFile(lost, []byte("found again"), 0o600); err != nil {
		t.Fatal(err)
	}
	late := takeOver(t, s.client(), in, takeover.Options{})
	if row := late.Of(takeover.Builds); row.TakenOver != 5 || row.Present != 125 {
		t.Errorf("afterwards: %+v, want 4 builds more, and one whose file was found", row)
	}
	if row := late.Of(takeover.Results); row.TakenOver != 1 || row.LeftOut != 0 {
		t.Errorf("results afterwards: %+v, want the lost one", row)
	}
	same(t, s.URL(), s.Key(), in)
}

// TestTakeOverTellsWhatDiffers, and leaves it.
func TestTakeOverTellsWhatDiffers(t *testing.T) {
	in := formertest.New(t, plan())
	s := start(t, config(t))
	takeOver(t, s.client(), in, takeover.Options{})
	in.Exec(t, `UPDATE builds SET error_message = 'otherwise' WHERE id = ?`, formertest.BuildID(4))
	r, err := takeover.Run(t.Context(), s.client(), open(t, in), takeover.Options{Certs: takeover.Unfinished})
	if !errors.Is(err, takeover.ErrDiffers) || r.Of(takeover.Builds).Differ != 1 || !r.Verified {
		t.Errorf("import = %v, %+v, want one build that differs", err, r.Of(takeover.Builds))
	}
}

// TestTakeOverOfWhatIsOdd: rows that no server can take are told one by one, and are not fatal.
func TestTakeOverOfWhatIsOdd(t *testing.T) {
	in := formertest.New(t, formertest.Plan{Builds: 20, Workers: 2, Files: true})
	in.Exec(t, `UPDATE builds SET id = 'a build' WHERE id = ?`, formertest.BuildID(0))
	in.Exec(t, `UPDATE builds SET platform = 'windows' WHERE id = ?`, formertest.BuildID(1))
	in.Exec(t, `UPDATE builds SET source_path = '../../../etc/passwd', certs_path = '/srv/../..' WHERE id = ?`, formertest.BuildID(2))
	in.Exec(t, `UPDATE builds SET completed_at = NULL, error_message = ? WHERE id = ?`, strings.Repeat("x", 100_000), formertest.BuildID(4))
	in.Exec(t, `UPDATE builds SET source_path = '/gone/builds/none.zip' WHERE id = ?`, formertest.BuildID(19))
	in.Exec(t, `UPDATE workers SET name = '', capabilities = 'no JSON' WHERE id = ?`, formertest.WorkerID(0))
	in.Exec(t, `INSERT INTO build_logs (build_id, timestamp, level, message) VALUES ('nobody', 1, 'info', 'x'), (?, 2, 'FATAL', ?)`,
		formertest.BuildID(5), []byte("not \xff UTF-8"))
	in.Exec(t, `INSERT INTO cpu_snapshots (build_id, timestamp, cpu_percent, memory_mb) VALUES ('nobody', 1, 1, 1)`)
	in.Exec(t, `INSERT INTO diagnostics VALUES ('r1', ?, 'splendid', 1, 1.5, NULL, '[]'), ('r2', ?, 'healthy', 1, 1.5, NULL, '[]')`,
		formertest.WorkerID(0), formertest.WorkerID(1))
	s := start(t, config(t))
	r := takeOver(t, s.client(), in, takeover.Options{})
	for kind, left := range map[string]int64{takeover.Builds: 2, takeover.Tokens: 2, takeover.Snapshots: 1, takeover.Reports: 1, takeover.Workers: 0} {
		if row := r.Of(kind); row.LeftOut != left || row.Found != row.TakenOver+left {
			t.Errorf("%+v, want %d left out", row, left)
		}
	}
	b, err := s.client().Builds.Get(t.Context(), formertest.BuildID(19))
	if err != nil || b.Status != "failed" || !strings.Contains(b.Error, "source") {
		t.Errorf("the build that waited without a source = %+v, %v, want it failed", b, err)
	}
}

// TestTakeOverOfLongLogs: one that is too long to hold is written down under way, and of one whose build goes on here what comes
// first is kept. Nothing stays behind.
func TestTakeOverOfLongLogs(t *testing.T) {
	in := formertest.New(t, formertest.Plan{Builds: 5, Workers: 1, Lines: 50_000, Files: true})
	s := start(t, config(t))
	dir := t.TempDir()
	r := takeOver(t, s.client(), in, takeover.Options{TempDir: dir})
	row := r.Of(takeover.Lines)
	if kept := row.TakenOver; kept < 50_003 || row.LeftOut < 80_000 || row.Found != row.LeftOut+kept {
		t.Errorf("log lines %+v, want a whole log and the beginnings of two", row)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTakeOverOfTheOriginal takes over what the original controller itself wrote.
func TestTakeOverOfTheOriginal(t *testing.T) {
	in := original(t)
	s := start(t, config(t))
	first := takeOver(t, s.client(), in, takeover.Options{Certs: takeover.All})
	for _, row := range first.Rows {
		holes := int64(0)
		if row.Kind == takeover.Results {
			holes = 1 // removed on purpose
		}
		if row.Found == 0 || row.TakenOver != row.Found-holes || row.LeftOut != holes || row.Differ != 0 {
			t.Errorf("%+v, want all but %d taken over", row, holes)
		}
	}
	same(t, s.URL(), s.Key(), in)
	second := takeOver(t, s.client(), in, takeover.Options{Certs: takeover.All})
	if diff := cmp.Diff(moved(counts(first)), counts(second)); diff != "" {
		t.Errorf("second run (-want +got):\n%s", diff)
	}
}

// original is an installation of the original controller.
func original(t *testing.T) formertest.Installation {
	t.Helper()
	dir := os.Getenv("FREEAGENT_FORMER")
	if dir == "" {
		t.Skip("FREEAGENT_FORMER names no directory with the original controller's controller.db and storage")
	}
	return formertest.Installation{Database: filepath.Join(dir, "controller.db"), Storage: filepath.Join(dir, "storage")}
}

// TestTakeOverOfAnotherFile: what is not the former controller's, or is still written, is refused in a sentence.
func TestTakeOverOfAnotherFile(t *testing.T) {
	t.Parallel()
	in := formertest.New(t, formertest.Plan{Builds: 1, Workers: 1})
	if _, err := former.Open(t.Context(), filepath.Join(in.Storage, "nothing"), in.Storage, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file = %v", err)
	}
	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(other, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := former.Open(t.Context(), other, in.Storage, false); err == nil || !strings.Contains(err.Error(), "not the former controller's") {
		t.Errorf("another file = %v", err)
	}
	if err := os.WriteFile(in.Database+"-wal", []byte("pages"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := former.Open(t.Context(), in.Database, in.Storage, false); !errors.Is(err, former.ErrInUse) {
		t.Errorf("one that is written = %v, want %v", err, former.ErrInUse)
	}
}
