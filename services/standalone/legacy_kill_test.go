package standalone_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyimport"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacytest"
)

// importPatience is for the largest benchmark.
const importPatience = time.Hour

// importInto runs the command against a farm.
func importInto(f *farm, in legacytest.Installation, more ...string) *process {
	f.t.Helper()
	return run(f.t, []string{"FREEAGENT_API_KEY=" + farmKey}, append([]string{
		"import", "--server", f.url(), "--sqlite", in.Database, "--storage", in.Storage, "--json",
	}, more...)...)
}

// ended waits for a command and gives its report.
func ended(p *process) (*legacyimport.Report, error) {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		var r legacyimport.Report
		out := p.out.String()
		if e := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &r); e != nil {
			p.t.Fatalf("%s: %v", out, e)
		}
		return &r, err
	case <-time.After(importPatience):
		p.t.Fatal("the import does not end")
		return nil, nil
	}
}

// TestImportSurvivesKills: the import is killed at eight moments of its run, each time after more has come, and the server once
// besides; then a run completes, and everything is there once.
func TestImportSurvivesKills(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Builds, p.Lines = 600, 40
	in := legacytest.New(t, p)
	f := newFarm(t)
	begun := time.Now()
	whole, err := ended(importInto(f, in, "--dry-run"))
	if err != nil {
		t.Fatal(err)
	}
	step := max(time.Since(begun)/2, 50*time.Millisecond)
	for n := range 8 {
		victim := importInto(f, in)
		select {
		case err := <-victim.done: // so quick that nothing was left to kill
			victim.done <- err
		case <-time.After(time.Duration(n+1) * step):
		}
		victim.kill()
		if n == 3 {
			f.kill()
			f.up()
		}
	}
	last, err := ended(importInto(f, in))
	if err != nil || !last.Verified {
		t.Fatalf("import = %v, %s", err, last.Fault)
	}
	for _, row := range last.Rows {
		want := whole.Of(row.Kind)
		if row.Found != want.Found || row.LeftOut != want.LeftOut || row.Differ != 0 {
			t.Errorf("%+v, the dry run said %+v", row, want)
		}
	}
	again, err := ended(importInto(f, in))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range again.Rows {
		if row.Imported != 0 {
			t.Errorf("a run after a complete one imported %d %s", row.Imported, row.Kind)
		}
	}
	same(t, f.url(), farmKey, in)
	var stats struct{ TotalBuilds, TotalBuildTimeMs int64 }
	w := &v1{t: t, url: f.url(), key: farmKey}
	w.call("GET", "/api/stats", "", nil, &stats)
	if diff := cmp.Diff(totals(t, in), [2]int64{stats.TotalBuilds, stats.TotalBuildTimeMs}); diff != "" {
		t.Errorf("builds and time in all (-want +got):\n%s", diff)
	}
}

// totals are the builds that completed or failed, and how long they took. Cancelled builds do not count here.
func totals(t *testing.T, in legacytest.Installation) (want [2]int64) {
	t.Helper()
	from := open(t, in)
	for after := int64(-1); ; {
		rows, err := from.Builds(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return want
		}
		for _, row := range rows {
			after = row.Row
			if !row.Ended() || row.ErrorMessage != nil && *row.ErrorMessage == "Build cancelled by user" {
				continue
			}
			want[0]++
			want[1] += *row.CompletedAt - *row.StartedAt
		}
	}
}

// TestImportCommand is what a user types and sees.
func TestImportCommand(t *testing.T) {
	t.Parallel()
	in := legacytest.New(t, plan())
	f := newFarm(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing named": {[]string{"import"}, 2, "--sqlite and --storage are required"},
		"certs":         {[]string{"import", "--sqlite", in.Database, "--storage", in.Storage, "--certs", "some"}, 2, "unfinished, all or none"},
		"no file":       {[]string{"import", "--sqlite", "nothing.db", "--storage", in.Storage}, 1, "no such file"},
		"a dry run":     {[]string{"import", "--sqlite", in.Database, "--storage", in.Storage, "--dry-run"}, 0, "Nothing was written"},
		"a run":         {[]string{"import", "--sqlite", in.Database, "--storage", in.Storage}, 0, "Verified"},
	} {
		p := run(t, []string{"FREEAGENT_API_KEY=" + farmKey, "FREEAGENT_URL=" + f.url()}, c.args...)
		err := <-p.done
		p.done <- err
		if got := p.cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(p.out.String(), c.says) {
			t.Errorf("%s: exit code %d and\n%s\nwant %d and %q", name, got, p.out.String(), c.code, c.says)
		}
	}
	p := run(t, []string{"FREEAGENT_API_KEY=another-key-0123456789", "FREEAGENT_URL=" + f.url()}, "import", "--sqlite", in.Database, "--storage", in.Storage)
	if err := <-p.done; err == nil || !strings.Contains(p.out.String(), "Invalid API key") {
		t.Errorf("with another key: %v and\n%s", err, p.out.String())
	}
	p.done <- nil
}
