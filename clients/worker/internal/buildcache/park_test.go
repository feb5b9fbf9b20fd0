package buildcache

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ended is a build's directory after its install.
func ended(t *testing.T) (dir string, r *os.Root, p Parked) {
	t.Helper()
	dir = t.TempDir()
	r = fill(t, dir,
		"App.js", "source",
		"package-lock.json", "written by the install",
		"node_modules/a/index.js", "aaaa",
		"node_modules/a/lib/deep.js", "deep",
		"node_modules/.bin/a", "->../a/index.js",
		"packages/x/node_modules/b/index.js", "bbbb",
	)
	p.Paths = []string{"node_modules", "package-lock.json", "packages/x/node_modules"}
	p.Files, p.Bytes = 4, 100
	var err error
	if p.Marks, err = MarksOf(t.Context(), r, p.Paths); err != nil {
		t.Fatal(err)
	}
	return dir, r, p
}

var mainBranch = Scope{Project: "app", Branch: "main"}

func newStore(t *testing.T) *Store {
	t.Helper()
	return New(Config{Dir: filepath.Join(t.TempDir(), "caches"), Trusted: []string{"main"}, MaxBytes: 1 << 40, MaxAge: time.Hour})
}

// TestParkedTree has a second build get the very files of the first.
func TestParkedTree(t *testing.T) {
	s := newStore(t)
	dir, r, p := ended(t)
	want := tree(t, dir)
	if err := s.Park(t.Context(), mainBranch, "install", "k", r, p); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, dir); len(left) != 3 { // the source and the directories around
		t.Errorf("left in the first build's directory: %q", left)
	}
	second := t.TempDir()
	into := fill(t, second, "App.js", "source", "package-lock.json", "of the source")
	got, ok, err := s.Take(t.Context(), mainBranch, "install", "k", into)
	if err != nil || !ok {
		t.Fatalf("ok %t, err %v", ok, err)
	}
	at := time.Now()
	for _, d := range []string{dir, second} { // what is not of the install
		fill(t, d, "App.js", "source")
		if err := os.Chtimes(filepath.Join(d, "App.js"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if now := tree(t, second); !slices.Equal(withoutSource(now), withoutSource(want)) {
		t.Errorf("the second build got\n%s\nwant\n%s", strings.Join(now, "\n"), strings.Join(want, "\n"))
	}
	if got.Files != 4 || !slices.Equal(got.Paths, p.Paths) {
		t.Errorf("taken: %+v", got.Snapshot)
	}
	if _, ok, err := s.Take(t.Context(), mainBranch, "install", "k", into); ok || err != nil {
		t.Errorf("a tree was taken twice: ok %t, err %v", ok, err)
	}
	// The marks that came with it are right for the next build.
	if err := s.Park(t.Context(), mainBranch, "install", "k", into, got); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := s.Take(t.Context(), mainBranch, "install", "k", fill(t, t.TempDir())); !ok {
		t.Error("the tree was not parked again")
	}
}

func withoutSource(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "App.js") })
}

// TestChangedTreesAreNotParked: what a build has written to never reaches another, not even if it hides that.
func TestChangedTreesAreNotParked(t *testing.T) {
	file := "node_modules/a/index.js"
	for name, change := range map[string]func(dir string) error{
		"content": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, file), []byte("patched"), 0o644)
		},
		"content of the same size, with its time set back": func(dir string) error {
			was, err := os.Stat(filepath.Join(dir, file))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), []byte("evil"), 0o644)
			}
			return errors.Join(err, os.Chtimes(filepath.Join(dir, file), was.ModTime(), was.ModTime()))
		},
		"mode": func(dir string) error { return os.Chmod(filepath.Join(dir, file), 0o755) },
		"mode of a directory": func(dir string) error {
			return os.Chmod(filepath.Join(dir, "node_modules/a"), 0o700)
		},
		"replaced": func(dir string) error {
			other := filepath.Join(dir, "other")
			return errors.Join(os.WriteFile(other, []byte("aaaa"), 0o644), os.Rename(other, filepath.Join(dir, file)))
		},
		"removed":           func(dir string) error { return os.Remove(filepath.Join(dir, file)) },
		"removed directory": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "node_modules")) },
		"link": func(dir string) error {
			link := filepath.Join(dir, "node_modules/.bin/a")
			return errors.Join(os.Remove(link), os.Symlink("../a/evil.js", link))
		},
		"a link in place of a directory": func(dir string) error {
			a := filepath.Join(dir, "node_modules/a")
			return errors.Join(os.Rename(a, a+"2"), os.Symlink("a2", a))
		},
		"a single file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "package-lock.json"), []byte("x"), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			dir, r, p := ended(t)
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			if err := s.Park(t.Context(), mainBranch, "install", "k", r, p); !errors.Is(err, errChanged) {
				t.Errorf("park: %v", err)
			}
			if _, ok, err := s.Take(t.Context(), mainBranch, "install", "k", fill(t, t.TempDir())); ok || err != nil {
				t.Errorf("taken: ok %t, err %v", ok, err)
			}
		})
	}
}

// TestAdditionsAreRemoved: tools put caches and logs into node_modules, and the next build must not see them.
func TestAdditionsAreRemoved(t *testing.T) {
	s := newStore(t)
	dir, r, p := ended(t)
	want := withoutSource(tree(t, dir))
	fill(t, dir, "node_modules/.cache/babel/x.json", "{}", "node_modules/a/build/out.o", "o", "node_modules/c", "->a")
	if err := s.Park(t.Context(), mainBranch, "install", "k", r, p); err != nil {
		t.Fatal(err)
	}
	second := t.TempDir()
	if _, ok, err := s.Take(t.Context(), mainBranch, "install", "k", fill(t, second)); !ok || err != nil {
		t.Fatalf("ok %t, err %v", ok, err)
	}
	if got := tree(t, second); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestParkedTreeWasChanged: the power may go before files are on disk, and another program may write to them. The snapshot is whole then.
func TestParkedTreeWasChanged(t *testing.T) {
	for name, change := range map[string]func(tree string) error{
		"cut off":     func(tree string) error { return os.Truncate(filepath.Join(tree, "0/a/index.js"), 0) },
		"gone":        func(tree string) error { return os.RemoveAll(filepath.Join(tree, "1")) },
		"added":       func(tree string) error { return os.WriteFile(filepath.Join(tree, "0/new.js"), nil, 0o644) },
		"list is cut": func(tree string) error { return os.Truncate(filepath.Join(tree, parkedList), 10) },
		"no list":     func(tree string) error { return os.Remove(filepath.Join(tree, parkedList)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			_, r, p := ended(t)
			if err := s.Park(t.Context(), mainBranch, "install", "k", r, p); err != nil {
				t.Fatal(err)
			}
			own, _ := s.own(mainBranch)
			if err := change(treeOf(own, "install", "k")); err != nil {
				t.Fatal(err)
			}
			into := t.TempDir()
			_, ok, err := s.Take(t.Context(), mainBranch, "install", "k", fill(t, into))
			if ok || err != nil {
				t.Errorf("taken: ok %t, err %v", ok, err)
			}
			if left := tree(t, into); len(left) > 0 {
				t.Errorf("parts of it were moved: %q", left)
			}
			if left, err := os.ReadDir(own); err != nil || len(left) > 0 {
				t.Errorf("left in the cache: %v, %v", left, err)
			}
		})
	}
}

// TestWhoseTrees: trees are of one scope and key, and a build of another branch does not get the trusted one.
func TestWhoseTrees(t *testing.T) {
	s := newStore(t)
	_, r, p := ended(t)
	if err := s.Park(t.Context(), mainBranch, "install", "k", r, p); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scope Scope
		key   string
	}{{Scope{"app", "pull"}, "k"}, {Scope{"other", "main"}, "k"}, {mainBranch, "k2"}} {
		if _, ok, err := s.Take(t.Context(), c.scope, "install", c.key, fill(t, t.TempDir())); ok || err != nil {
			t.Errorf("%+v: ok %t, err %v", c, ok, err)
		}
	}
}

// TestOldTreesGo: a scope keeps few trees, and Prune removes them as it does snapshots.
func TestOldTreesGo(t *testing.T) {
	s := newStore(t)
	own, _ := s.own(mainBranch)
	for i, key := range []string{"1", "2", "3", "4", "5", "6"} {
		_, r, p := ended(t)
		if err := s.Park(t.Context(), mainBranch, "install", key, r, p); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(treeOf(own, "install", key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(own)
	if err != nil || len(left) != maxParked {
		t.Fatalf("%d trees are kept, %v", len(left), err)
	}
	if left[0].Name() != treePrefix+"install-3" {
		t.Errorf("the oldest that is kept: %s", left[0].Name())
	}
	if err := os.Mkdir(filepath.Join(own, ".park-left"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(time.Now().Add(48 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(own); err != nil || len(left) != 1 { // .park-left is young
		t.Errorf("left after pruning: %v, %v", left, err)
	}
}

// TestParkFollowsNoLink: the source of the second build has a link where the first had a directory.
func TestParkFollowsNoLink(t *testing.T) {
	s := newStore(t)
	_, r, p := ended(t)
	if err := s.Park(t.Context(), mainBranch, "install", "k", r, p); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	into := fill(t, t.TempDir(), "packages", "->"+outside)
	if _, ok, err := s.Take(t.Context(), mainBranch, "install", "k", into); ok || err == nil {
		t.Errorf("ok %t, err %v", ok, err)
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("moved outside: %v", left)
	}
}
