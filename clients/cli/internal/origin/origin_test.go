package origin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if f := Of(t.Context(), dir, ""); f != (Found{}) {
		t.Errorf("outside of a repository: %+v", f)
	}
	run(t, dir, "init", "--quiet", "--initial-branch=main")
	if f := Of(t.Context(), dir, ""); f != (Found{}) {
		t.Errorf("without a commit: %+v", f)
	}
	app := filepath.Join(dir, "apps", "shop")
	write(t, filepath.Join(app, "package.json"))
	run(t, dir, "add", ".")
	run(t, dir, "commit", "--quiet", "-m", "first")
	run(t, dir, "remote", "add", "origin", "https://me:password@github.com/acme/shop.git")
	head := run(t, dir, "rev-parse", "HEAD")
	f := Of(t.Context(), app, "")
	if f.Commit != head || f.Branch != "main" || f.Repository != "acme/shop" || f.Dirty {
		t.Errorf("clean: %+v, want %s", f, head)
	}
	write(t, filepath.Join(dir, "elsewhere")) // is not sent
	if f := Of(t.Context(), app, ""); f.Commit != head || f.Dirty {
		t.Errorf("dirty elsewhere: %+v", f)
	}
	run(t, dir, "checkout", "--quiet", "--detach")
	if f := Of(t.Context(), app, ""); f.Commit != head || f.Branch != "" {
		t.Errorf("detached: %+v", f)
	}
	write(t, filepath.Join(app, "new.js"))
	if f := Of(t.Context(), app, ""); f.Commit != head || f.Dirty {
		t.Errorf("with a new file: %+v", f)
	}
	if err := os.WriteFile(filepath.Join(app, "package.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := Of(t.Context(), app, ""); f.Commit != head || !f.Dirty || f.Repository != "acme/shop" {
		t.Errorf("dirty: %+v", f)
	}
	for _, name := range []string{"HEAD", head[:8], head} {
		if got, err := Commit(t.Context(), app, name); got != head || err != nil {
			t.Errorf("Commit(%s) = %s, %v", name, got, err)
		}
	}
	for _, name := range []string{"none", "--help", ""} {
		if got, err := Commit(t.Context(), app, name); err == nil {
			t.Errorf("Commit(%q) = %s", name, got)
		}
	}
}

func TestOfSubmodule(t *testing.T) {
	t.Parallel()
	lib, dir := t.TempDir(), t.TempDir()
	for _, d := range []string{lib, dir} {
		run(t, d, "init", "--quiet", "--initial-branch=main")
		write(t, filepath.Join(d, "a.js"))
		run(t, d, "add", ".")
		run(t, d, "commit", "--quiet", "-m", "first")
	}
	run(t, dir, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", lib, "lib")
	run(t, dir, "config", "-f", ".gitmodules", "submodule.lib.ignore", "all")
	run(t, dir, "add", ".")
	run(t, dir, "commit", "--quiet", "-m", "lib")
	if f := Of(t.Context(), dir, ""); f.Dirty {
		t.Errorf("clean: %+v", f)
	}
	if err := os.WriteFile(filepath.Join(dir, "lib", "a.js"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := Of(t.Context(), dir, ""); !f.Dirty {
		t.Errorf("a change in a submodule: %+v", f)
	}
	run(t, filepath.Join(dir, "lib"), "commit", "--quiet", "-am", "second")
	if f := Of(t.Context(), dir, ""); !f.Dirty {
		t.Errorf("another commit of a submodule: %+v", f)
	}
}

func TestRepository(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"git@github.com:acme/shop.git": "acme/shop", "https://github.com/acme/shop": "acme/shop", "https://GitHub.com/acme/shop/": "acme/shop",
		"ssh://git@github.com/acme/shop.git": "acme/shop", "ssh://git@ssh.github.com:443/acme/shop.git": "acme/shop",
		"git@git.acme.example:acme/shop.git": "acme/shop", "https://gitlab.com/acme/shop.git": "", "/srv/git/shop.git": "", "../shop": "",
		"https://github.com.evil.example/acme/shop": "", "": "",
	} {
		if got := repository(remote, "git.acme.example"); got != want {
			t.Errorf("repository(%s) = %q, want %q", remote, got, want)
		}
	}
}
