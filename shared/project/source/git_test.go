package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/source"
)

// repository makes a repository with an app in apps/shop and a first commit.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".gitignore", ".env\n*.jks\n/ignored/\n")
	write(t, dir, "shared.js", "1")
	write(t, dir, "apps/shop/package.json", "{}")
	write(t, dir, "apps/shop/index.js", "1")
	git(t, dir, "init", "--quiet", "--initial-branch=main")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "first")
	return dir
}

func wantPaths(t *testing.T, s *source.Source, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, paths(s)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func wantWarning(t *testing.T, s *source.Source, parts ...string) {
	t.Helper()
	all := strings.Join(s.Warnings, "\n")
	for _, part := range parts {
		if !strings.Contains(all, part) {
			t.Errorf("warnings = %q, want %q in them", all, part)
		}
	}
}

func TestGitDecides(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	app := filepath.Join(dir, "apps", "shop")
	write(t, dir, ".git/info/exclude", "scratch/\n")
	for _, ignored := range []string{"apps/shop/.env", "apps/shop/upload.jks", "apps/shop/scratch/x", "ignored/x", "apps/shop/node_modules/x/i.js"} {
		write(t, dir, ignored, "x")
	}
	write(t, dir, "apps/shop/new.js", "1")
	write(t, dir, "apps/shop/tracked.jks", "1")
	git(t, dir, "add", "-f", "apps/shop/tracked.jks") // what git tracks is sent, whatever rules say
	git(t, dir, "rm", "--quiet", "--cached", "shared.js")
	if err := os.Remove(filepath.Join(app, "index.js")); err != nil {
		t.Fatal(err)
	}
	s := open(t, app, "")
	wantPaths(t, s, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/new.js", "apps/shop/tracked.jks")
	if s.Root != dir || s.AppPath != "apps/shop" || s.Selection != source.ByGit || s.Tracked != 3 || s.New != 2 {
		t.Errorf("Open = %+v", s)
	}
	s = open(t, app, ".")
	wantPaths(t, s, "package.json", "new.js", "tracked.jks")
	if s.Root != app || s.AppPath != "" {
		t.Errorf("with the app as root: %s, %q", s.Root, s.AppPath)
	}
}

func TestExcludesFile(t *testing.T) { // sets the environment
	dir := repository(t)
	write(t, dir, "apps/shop/.DS_Store", "x")
	home := t.TempDir()
	write(t, home, "config", "[core]\nexcludesFile = "+filepath.ToSlash(home)+"/ignore\n")
	write(t, home, "ignore", ".DS_Store\n")
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, "config"))
	t.Setenv("GIT_DIR", filepath.Join(home, "none")) // as in a hook of git
	wantPaths(t, open(t, filepath.Join(dir, "apps/shop"), ""), ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js")
}

func TestWorktree(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	feature := filepath.Join(t.TempDir(), "feature")
	git(t, dir, "worktree", "add", "--quiet", feature)
	link(t, feature, "node_modules", filepath.Join(dir, "node_modules"))
	s := open(t, filepath.Join(feature, "apps/shop"), "")
	wantPaths(t, s, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js")
	if len(s.Warnings) > 0 {
		t.Errorf("warnings = %q", s.Warnings)
	}
}

// A worktree below the repository is the same project once more.
func TestWorktreeBelow(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	git(t, dir, "worktree", "add", "--quiet", filepath.Join(dir, "trees/feature"))
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantPaths(t, s, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js")
	wantWarning(t, s, "trees/feature is another worktree of this repository and is not sent")
	feature := open(t, filepath.Join(dir, "trees/feature/apps/shop"), "")
	wantPaths(t, feature, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js")
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	inner, lib, dir := repository(t), repository(t), repository(t)
	git(t, lib, "submodule", "--quiet", "add", inner, "deep")
	git(t, lib, "commit", "--quiet", "-m", "deep")
	git(t, dir, "submodule", "--quiet", "add", lib, "vendor/lib")
	git(t, dir, "submodule", "--quiet", "update", "--init", "--recursive")
	git(t, dir, "submodule", "--quiet", "add", inner, "vendor/empty")
	git(t, dir, "commit", "--quiet", "-m", "lib")
	git(t, dir, "submodule", "--quiet", "deinit", "vendor/empty")
	write(t, dir, "vendor/lib/new.js", "1")
	write(t, dir, "vendor/lib/.env", "1")
	write(t, dir, "vendor/lib/deep/new.js", "1")
	// A repository that is no submodule is sent too, by its own rules.
	other := filepath.Join(dir, "other")
	write(t, other, ".gitignore", "out/\n")
	write(t, other, "out/x", "1")
	write(t, other, "in.js", "1")
	git(t, other, "init", "--quiet")
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	var got []string
	for _, p := range paths(s) {
		if strings.HasPrefix(p, "vendor/") || strings.HasPrefix(p, "other/") {
			got = append(got, p)
		}
		if strings.Contains("/"+p+"/", "/.git/") {
			t.Errorf("%s would be sent", p)
		}
	}
	want := []string{"other/.gitignore", "other/in.js"}
	for _, at := range []string{"vendor/lib/", "vendor/lib/deep/"} {
		for _, name := range []string{".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js", "new.js"} {
			want = append(want, at+name)
		}
	}
	want = append(want, "vendor/lib/.gitmodules")
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	wantWarning(t, s, "the submodule vendor/empty is not checked out", "git submodule update --init")
}

func TestGitRefuses(t *testing.T) { // sets the environment
	dir := repository(t)
	app := filepath.Join(dir, "apps/shop")
	for name, broken := range map[string]func(t *testing.T){
		"dubious ownership": func(t *testing.T) {
			t.Helper()
			t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
		},
		"not installed": func(t *testing.T) {
			t.Helper()
			t.Setenv("PATH", t.TempDir())
		},
		"unknown repository format": func(t *testing.T) {
			t.Helper()
			config := filepath.Join(dir, ".git/config")
			before, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { write(t, dir, ".git/config", string(before)) })
			write(t, dir, ".git/config", "[core]\nrepositoryformatversion = 99\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t)
			s, err := source.Open(t.Context(), app, source.Options{})
			if !errors.Is(err, source.ErrGit) {
				t.Errorf("Open = %+v, %v, want ErrGit", s, err)
			}
			if name == "dubious ownership" && !strings.Contains(err.Error(), "safe.directory") {
				t.Errorf("Open = %v, want the cure", err)
			}
			write(t, dir, source.EASIgnore, "")
			if _, err := source.Open(t.Context(), app, source.Options{}); !errors.Is(err, source.ErrGit) {
				t.Errorf("Open with .easignore = %v, want ErrGit", err)
			}
		})
	}
	// A worktree whose repository is gone, and a .git that is none.
	for name, content := range map[string]string{"moved": "gitdir: /nowhere/.git/worktrees/x\n", "garbage": "x\n"} {
		dir := t.TempDir()
		write(t, dir, "package.json", "{}")
		write(t, dir, ".git", content)
		if s, err := source.Open(t.Context(), dir, source.Options{}); !errors.Is(err, source.ErrGit) {
			t.Errorf("%s: Open = %+v, %v, want ErrGit", name, s, err)
		}
	}
}

func TestIgnoredApp(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	write(t, dir, "ignored/app/package.json", "{}")
	_, err := source.Open(t.Context(), filepath.Join(dir, "ignored/app"), source.Options{})
	if !errors.Is(err, source.ErrNothing) || !strings.Contains(err.Error(), "/ignored/") {
		t.Errorf("Open = %v, want ErrNothing and the rule", err)
	}
}

func TestUnwatchedFilesDiffer(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	app := filepath.Join(dir, "apps/shop")
	git(t, dir, "update-index", "--skip-worktree", "apps/shop/index.js")
	git(t, dir, "update-index", "--assume-unchanged", "shared.js")
	if s := open(t, app, ""); len(s.Differs) > 0 {
		t.Errorf("unchanged: %q", s.Differs)
	}
	write(t, dir, "apps/shop/index.js", "2")
	write(t, dir, "shared.js", "2")
	if s := open(t, app, ""); len(s.Differs) != 2 {
		t.Errorf("changed: %q, want both files", s.Differs)
	}
}

func TestSparseCheckout(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	write(t, dir, "apps/other/x.js", "1")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "other")
	git(t, dir, "sparse-checkout", "set", "apps/shop")
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantPaths(t, s, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js")
	wantWarning(t, s, "1 tracked files are outside of the sparse checkout, or marked with skip-worktree")
	if len(s.Differs) != 1 {
		t.Errorf("differs = %q", s.Differs)
	}
}
