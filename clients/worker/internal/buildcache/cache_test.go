package buildcache

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// fill writes files: name, content; a content that begins with -> is a link.
func fill(t testing.TB, dir string, files ...string) *os.Root {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(files[i+1], "->"); isLink {
			err = os.Symlink(target, name)
		} else {
			err = os.WriteFile(name, []byte(files[i+1]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// tree describes what a directory holds: modes, times, links and contents.
func tree(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		line := fmt.Sprintf("%s %s", rel, info.Mode())
		if d.Type().IsRegular() {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %q", info.ModTime().UnixNano(), data)
		}
		if target, err := os.Readlink(name); err == nil {
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func testStore(t *testing.T) *Store {
	t.Helper()
	return New(Config{Dir: t.TempDir(), Trusted: []string{"main", "release/*"}, MaxBytes: 1 << 30, MaxAge: time.Hour})
}

// TestSnapshotIsExact: what an install made comes back with modes, times and links, and without what was there before.
func TestSnapshotIsExact(t *testing.T) {
	t.Parallel()
	s, dir := testStore(t), t.TempDir()
	source := []string{"package.json", "{}", "apps/shop/App.js", "x", "kept/a", "1"}
	r := fill(t, dir, source...)
	before, err := Look(r)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "node_modules/a/index.js", "a", "node_modules/.bin/a", "->../a/index.js", "node_modules/shop", "->../apps/shop", "apps/shop/node_modules/b/x", "b",
		"package.json", `{"changed":1}`, "apps/shop/generated.ts", "g", "node_modules/odd", "->/absolute")
	for name, mode := range map[string]fs.FileMode{"node_modules/a/index.js": 0o755, "apps/shop/App.js": 0o755, "apps/shop/node_modules/b/x": 0o444, "apps/shop/node_modules/b": 0o555} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "apps/shop/node_modules/b"), 0o755) })
	made, removed, err := Since(r, before)
	if want := []string{"apps/shop/App.js", "apps/shop/generated.ts", "apps/shop/node_modules", "node_modules", "package.json"}; err != nil || removed || !slices.Equal(made, want) {
		t.Fatalf("Since = %q, %v, %v, want %q", made, removed, err, want)
	}
	scope := Scope{Project: "shop", Branch: "main"}
	if _, err := s.Keep(t.Context(), scope, "install", "k1", r, made, 1<<20); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(other, "apps/shop/node_modules/b"), 0o755) })
	into := fill(t, other, source...)
	for name := range before { // what was there already keeps its time
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && info.Mode().IsRegular() {
			err = os.Chtimes(filepath.Join(other, name), info.ModTime(), info.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	snap, ok, err := s.Restore(t.Context(), scope, "install", "k1", into)
	if err != nil || !ok || snap.Files != 5 {
		t.Fatalf("Restore = %+v, %v, %v, want 5 files", snap, ok, err)
	}
	if a, b := tree(t, dir), tree(t, other); !slices.Equal(a, b) {
		t.Errorf("restored:\n%s\nwant:\n%s", strings.Join(b, "\n"), strings.Join(a, "\n"))
	}
	if _, ok, err := s.Restore(t.Context(), scope, "install", "k2", into); ok || err != nil {
		t.Errorf("another key is restored: %v, %v", ok, err)
	}
	if _, err := s.Keep(t.Context(), scope, "install", "k3", r, made, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Keep of too much = %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "kept/a")); err != nil {
		t.Fatal(err)
	}
	if _, removed, err := Since(r, before); err != nil || !removed {
		t.Errorf("Since does not notice a removed file: %v, %v", removed, err)
	}
}

// TestTrust: what a branch keeps is read by it alone, what trusted branches keep is read by all of their project.
func TestTrust(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	r := fill(t, t.TempDir(), "a", "1")
	restored := func(project, branch string) bool {
		_, ok, err := s.Restore(t.Context(), Scope{project, branch}, "install", "k", r)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	keep := func(project, branch string) {
		if _, err := s.Keep(t.Context(), Scope{project, branch}, "install", "k", r, []string{"a"}, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	keep("shop", "fix/pr-1")
	if !restored("shop", "fix/pr-1") || restored("shop", "main") || restored("shop", "fix/pr-2") || restored("shop", "") || restored("other", "fix/pr-1") {
		t.Error("the snapshot of a pull request is not its own")
	}
	keep("shop", "release/1")
	if !restored("shop", "main") || !restored("shop", "fix/pr-2") || !restored("shop", "") || restored("other", "main") {
		t.Error("the snapshot of a trusted branch is not read by its project")
	}
	a, errA := s.LiveDir(Scope{"shop", "main"}, "npm")
	b, errB := s.LiveDir(Scope{"shop", "fix/pr-1"}, "npm")
	if errA != nil || errB != nil || a == b {
		t.Errorf("live directories %s and %s, %v, %v", a, b, errA, errB)
	}
}

// TestBrokenSnapshot: one that cannot be read is an error and is removed; a restore that is cancelled removes nothing.
func TestBrokenSnapshot(t *testing.T) {
	t.Parallel()
	s, scope := testStore(t), Scope{"shop", "main"}
	r := fill(t, t.TempDir(), "a", strings.Repeat("1", 1000))
	if _, err := s.Keep(t.Context(), scope, "install", "k", r, []string{"a"}, 1<<20); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := s.Restore(cancelled, scope, "install", "k", r); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Restore = %v, %v", ok, err)
	}
	own, _ := s.own(scope)
	name := file(own, "install", "k")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Restore(t.Context(), scope, "install", "k", r); ok || err == nil {
		t.Errorf("Restore of half a snapshot = %v, %v", ok, err)
	}
	if _, ok, err := s.Restore(t.Context(), scope, "install", "k", r); ok || err != nil {
		t.Errorf("the broken snapshot is still there: %v, %v", ok, err)
	}
}

// TestPrune: bounds of size and age, least recently used first, and what is being packed stays.
func TestPrune(t *testing.T) {
	t.Parallel()
	s := New(Config{Dir: t.TempDir(), Trusted: []string{"main"}, MaxBytes: 2500, MaxAge: 100 * time.Hour})
	noise := make([]byte, 1000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // it never fails
	r := fill(t, t.TempDir(), "a", string(noise))
	scope := Scope{"shop", "main"}
	now := time.Now()
	own, _ := s.own(scope)
	for i, key := range []string{"old", "second", "first", "newest"} {
		if _, err := s.Keep(t.Context(), scope, "install", key, r, []string{"a"}, 1<<20); err != nil {
			t.Fatal(err)
		}
		at := now.Add(time.Duration(i-3) * 10 * time.Hour)
		if key == "old" {
			at = now.Add(-200 * time.Hour)
		}
		if err := os.Chtimes(file(own, "install", key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(own, ".keep-1"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(now); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".keep-1", "install-first-", "install-newest-"}; len(left) != 3 || left[0] != want[0] || !strings.HasPrefix(left[1], "install-first") || !strings.HasPrefix(left[2], "install-newest") {
		t.Errorf("left = %q, want %q", left, want)
	}
}

// TestHostileSnapshot: an archive that a build has written itself puts nothing outside.
func TestHostileSnapshot(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]tar.Header{
		"dots":         {{Name: "../x", Typeflag: tar.TypeReg}},
		"absolute":     {{Name: "/tmp/x", Typeflag: tar.TypeReg}},
		"through link": {{Name: "l", Linkname: "/tmp", Typeflag: tar.TypeSymlink}, {Name: "l/x", Typeflag: tar.TypeReg}},
	} {
		var buf bytes.Buffer
		z, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(z)
		for _, h := range headers {
			h.Mode = 0o644
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
		into := fill(t, t.TempDir())
		if _, err := unpack(t.Context(), &buf, into); err == nil {
			t.Errorf("%s: unpacked", name)
		}
	}
}

// TestInstallKey: what changes an install changes its key, and what does not, does not.
func TestInstallKey(t *testing.T) {
	t.Parallel()
	base := []string{
		"package.json", `{"workspaces":["apps/*"]}`, "package-lock.json", "lock", "apps/shop/package.json", `{"name":"shop"}`, "apps/shop/App.js", "1",
	}
	facts := Facts{Machine: []string{"linux", "node 20"}, Command: "npm ci", Env: map[string]string{"A": "1"}}
	key := func(f Facts, files ...string) string {
		t.Helper()
		r := fill(t, t.TempDir(), append(slices.Clone(base), files...)...)
		in, err := workspace.InstallOf(r.FS(), "apps/shop")
		if err != nil {
			t.Fatal(err)
		}
		k, whyNot, err := InstallKey(r.FS(), in, f)
		if err != nil || whyNot != "" {
			t.Fatalf("InstallKey: %q, %v", whyNot, err)
		}
		return k
	}
	first := key(facts)
	for _, same := range [][]string{{}, {"apps/shop/App.js", "2"}, {"README.md", "x"}} {
		if key(facts, same...) != first {
			t.Errorf("%q changes the key", same)
		}
	}
	for _, other := range [][]string{
		{"package-lock.json", "other"}, {"apps/shop/package.json", `{"name":"shop","version":"2.0.0"}`}, {".npmrc", "x"}, {"patches/a.patch", "x"},
		{"apps/shop/patches/a.patch", "x"}, {"apps/web/package.json", "{}"},
	} {
		if key(facts, other...) == first {
			t.Errorf("%q does not change the key", other)
		}
	}
	for _, f := range []Facts{{facts.Machine, "npm install", nil, facts.Env}, {[]string{"linux", "node 22"}, "npm ci", nil, facts.Env}, {facts.Machine, "npm ci", nil, nil}} {
		if key(f) == first {
			t.Errorf("%+v does not change the key", f)
		}
	}
	generates := `{"name":"shop","scripts":{"postinstall":"node gen.js"}}`
	if key(facts, "apps/shop/package.json", generates) == key(Facts{facts.Machine, "npm ci", []string{"commit"}, facts.Env}, "apps/shop/package.json", generates) {
		t.Error("the commit, which a script may read, does not change the key")
	}
	for _, script := range []string{`{"name":"shop","scripts":{"postinstall":"node gen.js"}}`, `{"name":"shop","dependencies":{"x":"file:../x"}}`} {
		if key(facts, "apps/shop/package.json", script) == key(facts, "apps/shop/package.json", script, "apps/shop/App.js", "2") {
			t.Errorf("%s: a file that it may read does not change the key", script)
		}
	}
	patch := `{"name":"shop","scripts":{"postinstall":"patch-package"}}`
	if key(facts, "apps/shop/package.json", patch) != key(facts, "apps/shop/package.json", patch, "apps/shop/App.js", "2") {
		t.Error("patch-package reads the whole source")
	}
}

// BenchmarkSnapshot packs and unpacks 5,000 files of 10 KB, as an install of a medium app has per quarter.
func BenchmarkSnapshot(b *testing.B) {
	var files []string
	content := strings.Repeat("module.exports = function (a, b) { return a + b }\n", 200)
	for i := range 5000 {
		files = append(files, fmt.Sprintf("node_modules/p%d/lib/sub/f%d.js", i/20, i), content)
	}
	r := fill(b, b.TempDir(), files...)
	var buf bytes.Buffer
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			buf.Reset()
			if _, err := pack(b.Context(), &buf, r, []string{"node_modules"}, 1<<30); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			into := fill(b, b.TempDir())
			if _, err := unpack(b.Context(), bytes.NewReader(buf.Bytes()), into); err != nil {
				b.Fatal(err)
			}
		}
	})
}
