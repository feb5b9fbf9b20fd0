package standalone_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// testdata is absolute: an object store that runs in this process changes its directory.
func testdata() string { return filepath.Join(root, "services", "standalone", "testdata") }

// migrationFiles are all that there are, by the directory that they are in.
func migrationFiles(t *testing.T) map[string][]string {
	t.Helper()
	dirs := map[string][]string{}
	for _, pattern := range []string{"*.sql", "*/*.sql"} {
		found, err := filepath.Glob(filepath.Join(root, "services", "*", "internal", "store", "migrations", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			dirs[filepath.ToSlash(filepath.Dir(rel))] = append(dirs[filepath.ToSlash(filepath.Dir(rel))], filepath.Base(rel))
		}
	}
	if len(dirs) < 4 {
		t.Fatalf("migrations in %d directories, want those of four services", len(dirs))
	}
	return dirs
}

// releasedMigrations returns the SHA-256 of each file that a release has: somebody's tables are made by it.
func releasedMigrations(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(testdata(), "migrations.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sums := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, path, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			t.Fatalf("testdata/migrations.sha256: %q", lines.Text())
		}
		sums[path] = sum
	}
	return sums
}

// TestReleasedMigrationsStayAsTheyAre: a changed one would make new databases other than old ones.
func TestReleasedMigrationsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for path, want := range releasedMigrations(t) {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		if err != nil {
			t.Errorf("a released migration is gone: %v", err)
			continue
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed after its release; put the change into a new migration", path)
		}
	}
}

// TestNewMigrationsComeLast: a number below a released one would run in another order in old databases than in new ones.
func TestNewMigrationsComeLast(t *testing.T) {
	t.Parallel()
	released := releasedMigrations(t)
	for dir, names := range migrationFiles(t) {
		highest, seen := "", map[string]string{}
		for _, name := range names {
			number, _, ok := strings.Cut(name, "_")
			if !ok || len(number) != 4 {
				t.Errorf("%s/%s: want a name such as 0012_what.sql", dir, name)
			}
			if other := seen[number]; other != "" {
				t.Errorf("%s: %s and %s have the same number", dir, other, name)
			}
			if seen[number] = name; released[dir+"/"+name] != "" {
				highest = max(highest, number)
			}
		}
		for _, name := range names {
			if released[dir+"/"+name] == "" && name[:4] <= highest {
				t.Errorf("%s/%s: want a number above %s, the highest that is released", dir, name, highest)
			}
		}
	}
}

// TestBothDialectsHaveTheSameMigrations: otherwise one of them lacks a table.
func TestBothDialectsHaveTheSameMigrations(t *testing.T) {
	t.Parallel()
	dirs := migrationFiles(t)
	for dir, names := range dirs {
		base, ok := strings.CutSuffix(dir, "/sqlite")
		if !ok {
			continue
		}
		other := dirs[base+"/postgres"]
		slices.Sort(names)
		slices.Sort(other)
		if diff := cmp.Diff(names, other); diff != "" {
			t.Errorf("%s: sqlite and postgres differ (-sqlite +postgres):\n%s", base, diff)
		}
	}
}

// keptBuild is a build of a kept data directory, as its own version showed it.
type keptBuild struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Project  string `json:"project"`
	SHA256   string `json:"sha256"`
	LogLines int    `json:"log_lines"`
}

// keptFarm unpacks a data directory that scripts/keep-datadir.sh has made.
func keptFarm(t *testing.T, version string) (*farm, []keptBuild) {
	t.Helper()
	var kept struct{ Builds []keptBuild }
	data, err := os.ReadFile(filepath.Join(testdata(), version, "builds.json"))
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &farm{t: t, dir: t.TempDir(), port: freePort(t), env: []string{"FREEAGENT_API_KEY=" + keptKey}}
	unpack(t, filepath.Join(testdata(), version, "datadir.tar.gz"), f.dir)
	return f, kept.Builds
}

const keptKey = "key-of-the-kept-farm"

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(filepath.Clean("/"+h.Name)))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o700)
		case tar.TypeReg:
			var data []byte
			if data, err = io.ReadAll(files); err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
		default:
			t.Fatalf("%s: %s is neither file nor directory", archive, h.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeptDataDirectoriesOpen: what each release has written is read by this version, and the farm goes on from there.
func TestKeptDataDirectoriesOpen(t *testing.T) {
	t.Parallel()
	versions, err := filepath.Glob(filepath.Join(testdata(), "v*"))
	if err != nil || len(versions) == 0 {
		t.Fatalf("kept data directories: %v, %v, want at least one", versions, err)
	}
	for _, path := range versions {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			f, builds := keptFarm(t, filepath.Base(path))
			f.up()
			client, err := api.New(api.Config{BaseURL: f.url(), Key: keptKey})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range builds {
				f.reads(client, want)
			}
			run(t, []string{"FREEAGENT_API_KEY=" + keptKey}, "worker", "--server", f.url(), "--name", "w",
				"--state-dir", filepath.Join(t.TempDir(), "w"), "--executor", "fake")
			for _, b := range builds {
				if b.Status == "queued" {
					f.eventually("the build that waited completes", func() bool {
						got, err := client.Builds.Get(t.Context(), b.ID)
						return err == nil && got.Status == "completed"
					})
				}
			}
			f.stop()
		})
	}
}

// reads checks a build, its log and its result against what is known of them.
func (f *farm) reads(client *api.Client, want keptBuild) {
	f.t.Helper()
	got, err := client.Builds.Get(f.t.Context(), want.ID)
	if err != nil {
		f.t.Errorf("build %s: %v", want.ID, err)
		return
	}
	if got.Status != want.Status || got.Project != want.Project {
		f.t.Errorf("build %s is %s of %s, want %s of %s", want.ID, got.Status, got.Project, want.Status, want.Project)
	}
	if want.Status != "queued" {
		lines := 0
		_, err := client.Builds.FollowLog(f.t.Context(), want.ID, func(api.LogLine) error { lines++; return nil })
		if err != nil || lines != want.LogLines {
			f.t.Errorf("log of %s has %d lines, %v, want %d", want.ID, lines, err, want.LogLines)
		}
	}
	if want.SHA256 == "" {
		return
	}
	var result bytes.Buffer
	if err := client.Builds.DownloadResult(f.t.Context(), got, &result, 0, nil, nil); err != nil {
		f.t.Errorf("result of %s: %v", want.ID, err)
	}
	if sum := sha256.Sum256(result.Bytes()); hex.EncodeToString(sum[:]) != want.SHA256 {
		f.t.Errorf("result of %s has SHA-256 %x, want %s", want.ID, sum, want.SHA256)
	}
}
