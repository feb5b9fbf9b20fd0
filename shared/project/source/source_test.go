package source_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/project/source"
)

func TestEASIgnoreLetsIn(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	app := filepath.Join(dir, "apps/shop")
	write(t, dir, source.EASIgnore, "shared.js\nDIST/\nnode_modules\n")
	write(t, app, ".env", "A=1")
	write(t, app, "upload.jks", "k")
	write(t, app, "dist/x", "1")
	write(t, dir, "ignored/generated.js", "1")
	write(t, dir, "ignored/play.json", `{"type": "service_account"}`)
	write(t, app, "node_modules/x/i.js", "1")
	s := open(t, app, "")
	wantPaths(t, s, source.EASIgnore, ".gitignore", "apps/shop/package.json", "apps/shop/index.js", "apps/shop/.env", "apps/shop/upload.jks",
		"ignored/generated.js", "ignored/play.json")
	if diff := cmp.Diff([]string{"apps/shop/dist"}, s.Dirs); diff != "" {
		t.Errorf("empty directories (-want +got):\n%s", diff)
	}
	wantWarning(t, s, ".easignore lets in what git ignores: apps/shop/.env, apps/shop/upload.jks, ignored/play.json")
	if strings.Contains(strings.Join(s.Warnings, " "), "generated.js") || len(s.Differs) != 1 || !strings.Contains(s.Differs[0], "4 files that git ignores") {
		t.Errorf("warnings %q, differs %q", s.Warnings, s.Differs)
	}
}

// What is listed can be packed, and what is packed can be unpacked.
func TestOddNamesAndLinks(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	odd := []string{"(tabs)/[user id].tsx", "ünï 🚀.txt", "trail ", "100%25.txt", "-dash", "a:b", "c:x", "C:/d"}
	if runtime.GOOS != "windows" {
		odd = append(odd, `a\b`, "new\nline")
	}
	for _, name := range odd {
		write(t, dir, name, "x")
	}
	for name, target := range map[string]string{
		"good": "shared.js", "apps/up": "../shared.js", "dangling": "no/such", "dirlink": "apps",
		"absolute": "/etc/passwd", "outside": "../elsewhere", "loop": "loop", "loop1": "loop2", "loop2": "loop1", "apps/far": "../../x",
		"through": "shared.js/x", "pivot/x/y": "../../apps/shop", "escape": "pivot/x/y/../../../..",
	} {
		link(t, dir, name, target)
	}
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantPaths(t, s, append(odd, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js", "good", "apps/up", "dangling", "dirlink", "pivot/x/y")...)
	wantWarning(t, s, "the link absolute is not sent: it points to /etc/passwd, a path of this machine", "the link outside is not sent", "--root",
		"the link loop is not sent", "the link loop1 is not sent", "the link apps/far is not sent", "the link through is not sent", "the link escape is not sent")
	var packed bytes.Buffer
	if _, err := archive.PackFiles(t.Context(), &packed, s.Root, paths(s), archive.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	sum, err := archive.Unpack(t.Context(), bytes.NewReader(packed.Bytes()), int64(packed.Len()), filepath.Join(t.TempDir(), "out"), archive.SourceLimits())
	if err != nil || sum.Files+sum.Links != len(s.Files) {
		t.Errorf("Unpack = %+v, %v, want %d files", sum, err, len(s.Files))
	}
}

func TestNamesThatNoArchiveHolds(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Log("other file systems refuse such names")
		return
	}
	dir := repository(t)
	write(t, dir, "caf\xe9.txt", "x")
	write(t, dir, `..\evil`, "x")
	write(t, dir, "README", "x")
	write(t, dir, "readme", "x")
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantPaths(t, s, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js", "README", "readme")
	wantWarning(t, s, `"caf\xe9.txt" is not sent: the name is not UTF-8. Rename it`, `"..\\evil" is not sent`, "README and readme differ only in case")
}

// A directory that became a link is the link, not what lies behind it.
func TestDirectoryBecomesLink(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	write(t, dir, "lib/a.js", "1")
	write(t, dir, "lib2/a.js", "1")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "lib")
	if err := os.RemoveAll(filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	link(t, dir, "lib", "lib2")
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantPaths(t, s, ".gitignore", "shared.js", "apps/shop/package.json", "apps/shop/index.js", "lib", "lib2/a.js")
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	write(t, dir, "assets/big.png", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("0a", 32)+"\nsize 123456\n")
	write(t, dir, "apps/shop/.env.local", "A=1")
	write(t, dir, "node_modules/patched/index.js", "1")
	git(t, dir, "add", "-f", "node_modules")
	write(t, dir, "apps/shop/.easignore", "index.js\n")
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantWarning(t, s, "apps/shop/.easignore is not read", "Git LFS has not fetched assets/big.png", "git lfs pull", "the archive includes apps/shop/.env.local", "node_modules is never sent, and git tracks 1 files in it")
	for _, p := range paths(s) {
		if strings.HasPrefix(p, "node_modules") {
			t.Errorf("%s would be sent", p)
		}
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	app := filepath.Join(dir, "apps/shop")
	write(t, dir, "package.json", `{"workspaces": ["apps/*"]}`)
	write(t, dir, "mobile/package.json", `{"workspaces": ["apps/*"]}`)
	write(t, dir, "mobile/apps/two/package.json", `{}`)
	if s := open(t, filepath.Join(dir, "mobile/apps/two"), ""); s.Root != filepath.Join(dir, "mobile") || s.AppPath != "apps/two" {
		t.Errorf("a workspace in a repository: %s, %s", s.Root, s.AppPath)
	}
	for _, root := range []string{"../..", dir, filepath.Join(dir, "apps")} {
		if s := open(t, app, root); filepath.Join(s.Root, s.AppPath) != app {
			t.Errorf("root %s: %s, %s", root, s.Root, s.AppPath)
		}
	}
	write(t, app, "freeagent.json", `{"root": ".."}`)
	if s := open(t, app, ""); s.Root != filepath.Join(dir, "apps") || s.AppPath != "shop" {
		t.Errorf("root in freeagent.json: %s, %s", s.Root, s.AppPath)
	}
	for _, content := range []string{`{"root": "../../mobile"}`, `{"root": "/tmp"}`, `{"root": "..\\.."}`, `{"root": "none"}`, `{"root": `} {
		write(t, app, "freeagent.json", content)
		if s, err := source.Open(t.Context(), app, source.Options{}); err == nil {
			t.Errorf("%s: Open = %s", content, s.Root)
		}
	}
}

func TestWorkspaceWithoutRepository(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "package.json", `{"workspaces": ["apps/*"]}`)
	write(t, dir, ".gitignore", "*.log\n")
	write(t, dir, "apps/shop/package.json", `{}`)
	write(t, dir, "apps/shop/a.log", "x")
	s := open(t, filepath.Join(dir, "apps/shop"), "")
	wantPaths(t, s, ".gitignore", "package.json", "apps/shop/package.json")
	if s.Root != dir || s.AppPath != "apps/shop" || s.Selection != source.ByGitIgnore {
		t.Errorf("Open = %+v", s)
	}
}

func TestLargest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "package.json", "{}")
	write(t, dir, "assets/video/intro/a.mp4", strings.Repeat("x", 900))
	write(t, dir, "assets/icon.png", strings.Repeat("x", 50))
	write(t, dir, "src/a.js", strings.Repeat("x", 100))
	want := []source.Folder{{Path: "assets/video/intro/", Bytes: 900, Files: 1}, {Path: "src/", Bytes: 100, Files: 1}}
	if diff := cmp.Diff(want, open(t, dir, "").Largest(5)); diff != "" {
		t.Errorf("Largest (-want +got):\n%s", diff)
	}
}
