// Package legacytest makes installations of the legacy controller, as it would have written them.
package legacytest

import (
	"archive/zip"
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
)

// StoredAs is where the controller believed its folder to be.
const StoredAs = "/srv/controller/storage"

// Begun is when its first build was submitted, in milliseconds since the Unix epoch.
const Begun = int64(1_700_000_000_000)

// Plan says how much there is.
type Plan struct {
	Builds, Workers int
	// Lines is how many lines each build's log has, besides those of the controller's own.
	Lines int
	// Snapshots and Reports are how many there are in all.
	Snapshots, Reports int
	// Files: each build has a source, a third of them certificates, those that completed a result, but for one.
	Files bool
}

// Installation is where it lies.
type Installation struct {
	Database, Storage string
	// Lost is the build whose result is gone.
	Lost string
}

// BuildID is the id of the n-th build; some begin with a dash, as theirs do.
func BuildID(n int) string {
	if n%7 == 3 {
		return fmt.Sprintf("-build_%014d", n)
	}
	return fmt.Sprintf("Build-%015d", n)
}

// WorkerID is the id of the n-th worker.
func WorkerID(n int) string { return fmt.Sprintf("worker_%014d", n) }

// Token is the access token of a build.
func Token(id string) string { return fmt.Sprintf("token-%037s", id) }

// New writes an installation.
func New(tb testing.TB, p Plan) Installation {
	tb.Helper()
	dir := tb.TempDir()
	in := Installation{Database: filepath.Join(dir, "controller.db"), Storage: filepath.Join(dir, "storage")}
	for _, folder := range []string{"builds", "certs", "results"} {
		if err := os.MkdirAll(filepath.Join(in.Storage, folder), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	w, err := legacydb.Create(tb.Context(), in.Database, "")
	if err != nil {
		tb.Fatal(err)
	}
	g := &generator{tb: tb, plan: p, in: &in, to: w}
	g.workers()
	g.builds()
	g.measured()
	if err := w.Finish(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if p.Lines > 0 {
		in.Exec(tb, compilerLines, p.Lines)
	}
	return in
}

// compilerLines gives each build that was started so many lines, at once.
const compilerLines = `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
	INSERT INTO build_logs (build_id, timestamp, level, message)
	SELECT b.id, b.started_at + i, CASE i % 3 WHEN 0 THEN 'info' WHEN 1 THEN 'warn' ELSE 'error' END,
		printf('[%d] CompileC /Users/build/app/ios/Pods/Build/Objects-normal/arm64/file%d.o normal arm64 ünïcode' || char(9) || 'of %s', i, i * 7919 % 1000, b.id)
	FROM builds b, n WHERE b.started_at IS NOT NULL ORDER BY b.rowid, i`

// Exec changes the database as the controller would.
func (in Installation) Exec(tb testing.TB, q string, args ...any) {
	tb.Helper()
	db, err := sql.Open("sqlite", in.Database)
	if err == nil {
		_, err = db.ExecContext(tb.Context(), q, args...)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
}

type generator struct {
	tb   testing.TB
	plan Plan
	in   *Installation
	to   *legacydb.Writer
}

func (g *generator) write(f func(*legacydb.Batch) error) {
	g.tb.Helper()
	if err := g.to.Write(g.tb.Context(), f); err != nil {
		g.tb.Fatal(err)
	}
}

func (g *generator) workers() {
	g.write(func(b *legacydb.Batch) error {
		for n := range g.plan.Workers {
			_, err := b.PutWorker(g.tb.Context(), legacydb.Worker{
				ID: WorkerID(n), Name: fmt.Sprintf("Mac %d", n), Status: "idle", RegisteredAt: Begun - 1000, SeenAt: Begun + int64(n),
				Capabilities: `{"maxConcurrentBuilds":1,"platforms":["ios","android"],"xcode_version":"15.0"}`,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const batch = 1000

func (g *generator) builds() {
	for from := 0; from < g.plan.Builds; from += batch {
		g.write(func(b *legacydb.Batch) error {
			for n := from; n < min(from+batch, g.plan.Builds); n++ {
				if err := g.build(b, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// build ends most, fails every fifth, and leaves the last ones as they are while a controller runs.
func (g *generator) build(b *legacydb.Batch, n int) error {
	id, at := BuildID(n), Begun+int64(n)*60_000
	v := legacydb.Build{
		ID: id, Status: "completed", Platform: []string{"ios", "android"}[n%2], SourcePath: g.file("builds", id+".zip", archive),
		SubmittedAt: at, AccessToken: Token(id),
	}
	if n%3 == 0 {
		v.CertsPath = ptr(g.file("certs", id+".zip", func() []byte { return []byte("certificates of " + id) }))
	}
	worker := WorkerID(n % max(1, g.plan.Workers))
	left := g.plan.Builds - n
	switch {
	case left == 1 || left == 4:
		v.Status = "pending"
	case left == 2:
		v.Status, v.WorkerID, v.StartedAt = "assigned", &worker, ptr(at+2000)
	case left == 3:
		v.Status, v.WorkerID, v.StartedAt = "building", &worker, ptr(at+2000)
	case n%10 == 9:
		v.Status, v.ErrorMessage, v.CompletedAt = "failed", ptr("Build cancelled by user"), ptr(at+3000)
	case n%5 == 4:
		v.Status, v.ErrorMessage = "failed", ptr("xcodebuild exited with 65")
		v.WorkerID, v.StartedAt, v.CompletedAt = &worker, ptr(at+2000), ptr(at+50_000)
	default:
		v.WorkerID, v.StartedAt, v.CompletedAt = &worker, ptr(at+2000), ptr(at+50_000)
		v.ResultPath = ptr(g.result(id, v.Platform))
	}
	if _, _, err := b.PutBuild(g.tb.Context(), v); err != nil {
		return err
	}
	return g.log(b, v)
}

func ptr[T any](v T) *T { return &v }

func (g *generator) result(id, platform string) string {
	name := id + ".ipa"
	if platform == "android" {
		name = id + ".apk"
	}
	if g.in.Lost == "" && g.plan.Files {
		g.in.Lost = id
		return StoredAs + "/results/" + name
	}
	return g.file("results", name, func() []byte { return bytes.Repeat([]byte("the app of "+id+"\n"), 1+len(id)) })
}

// file writes one and gives the path that the controller knows it by.
func (g *generator) file(folder, name string, content func() []byte) string {
	if g.plan.Files {
		if err := os.WriteFile(filepath.Join(g.in.Storage, folder, name), content(), 0o600); err != nil {
			g.tb.Fatal(err)
		}
	}
	return StoredAs + "/" + folder + "/" + name
}

// archive is a small app.
func archive() []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	f, err := z.Create("package.json")
	if err == nil {
		_, err = f.Write([]byte(`{"name":"hello"}`))
	}
	if err != nil || z.Close() != nil {
		panic(err) // memory does not fail
	}
	return buf.Bytes()
}

func (g *generator) log(b *legacydb.Batch, v legacydb.Build) error {
	lines := []legacydb.Line{{At: v.SubmittedAt, Level: "info", Message: "Build submitted"}}
	if v.StartedAt != nil {
		lines = append(lines, legacydb.Line{At: *v.StartedAt, Level: "info", Message: "Assigned to worker Mac"})
	}
	if v.CompletedAt != nil {
		lines = append(lines, legacydb.Line{At: *v.CompletedAt, Level: "info", Message: "Build " + v.Status})
	}
	for _, l := range lines {
		if err := b.AddLine(g.tb.Context(), v.ID, l); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) measured() {
	g.write(func(b *legacydb.Batch) error {
		for n := range g.plan.Snapshots {
			_, err := b.PutSnapshot(g.tb.Context(), legacydb.Snapshot{
				ID: int64(n + 1), BuildID: BuildID(n % g.plan.Builds), At: Begun + int64(n), CPUPercent: float64(n%1000) / 10, MemoryMB: 900,
			})
			if err != nil {
				return err
			}
		}
		for n := range g.plan.Reports {
			_, err := b.PutReport(g.tb.Context(), legacydb.Report{
				ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), WorkerID: WorkerID(n % g.plan.Workers), Status: "warning",
				RunAt: Begun + int64(n), DurationMs: 1234, AutoFixed: n%2 == 0, Checks: `[{"name":"disk","status":"warn"}]`,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
