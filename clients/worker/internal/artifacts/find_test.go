package artifacts_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/artifacts"
)

// tree makes files with one byte each; "name -> target" is a link.
func tree(t *testing.T, names ...string) *os.Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	for _, name := range names {
		name, target, isLink := strings.Cut(name, " -> ")
		name = filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		if isLink {
			must(t, os.Symlink(target, name))
			continue
		}
		must(t, os.WriteFile(name, []byte("x"), 0o600))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	files := []string{
		"package.json", "android/app/build/reports/a.html", "android/app/build/reports/deep/b.html", "android/app/build/outputs/a.apk",
		"android/app/build/outputs/mapping.txt", "node_modules/x/coverage/c.txt", "coverage/lcov.info", "coverage/.nyc/raw.json", "coverage/node_modules/y.js",
		"src/[id].js", "ios/Pods/P.log", "ios/x.log",
	}
	for name, tt := range map[string]struct {
		globs, paths, want []string
		warning            string
	}{
		"a file":                  {globs: []string{"coverage/lcov.info"}, want: []string{"coverage/lcov.info"}},
		"a directory":             {globs: []string{"android/app/build/reports"}, want: []string{"android/app/build/reports/a.html", "android/app/build/reports/deep/b.html"}},
		"braces":                  {globs: []string{"android/**/*.{apk,txt}"}, want: []string{"android/app/build/outputs/a.apk", "android/app/build/outputs/mapping.txt"}},
		"braces of paths":         {globs: []string{"{coverage/lcov,ios/x}.{info,log}"}, want: []string{"coverage/lcov.info", "ios/x.log"}},
		"a directory by wildcard": {globs: []string{"*/app/build/rep*"}, want: []string{"android/app/build/reports/a.html", "android/app/build/reports/deep/b.html"}},
		"twice":                   {globs: []string{"ios/*.log", "**/*.log"}, want: []string{"ios/x.log"}},
		"no packages":             {globs: []string{"**/*.txt"}, want: []string{"android/app/build/outputs/mapping.txt"}},
		"no hidden files":         {globs: []string{"coverage"}, want: []string{"coverage/lcov.info"}},
		"hidden files by name":    {globs: []string{"coverage/.nyc/*"}, want: []string{"coverage/.nyc/raw.json"}},
		"packages by name":        {globs: []string{"node_modules/*/coverage/**"}, want: []string{"node_modules/x/coverage/c.txt"}},
		"packages by path":        {globs: []string{"node_modules/x"}, want: []string{"node_modules/x/coverage/c.txt"}},
		"nothing":                 {globs: []string{"none/*.txt", "ios/x.log"}, want: []string{"ios/x.log"}, warning: "no file matches none/*.txt"},
		"a path is no glob":       {paths: []string{"src/[id].js"}, want: []string{"src/[id].js"}},
		"all":                     {globs: []string{"."}, want: []string{"android/app/build/outputs/a.apk", "android/app/build/outputs/mapping.txt", "android/app/build/reports/a.html", "android/app/build/reports/deep/b.html", "coverage/lcov.info", "ios/x.log", "package.json", "src/[id].js"}},
	} {
		got, err := artifacts.Find(t.Context(), tree(t, files...), tt.globs, tt.paths, artifacts.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tt.want, got.Names); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if all := strings.Join(got.Warnings, "\n"); all != tt.warning {
			t.Errorf("%s: warnings %q, want %q", name, all, tt.warning)
		}
	}
}

// TestHostileFiles: nothing outside of the source is taken, nothing behind a link, and no credentials.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	root := tree(
		t, "../home/.npmrc", "../home/secret.txt", "out/app.log", "out/up -> ../../home", "out/passwd -> /etc/passwd", "out/log -> app.log", "outside -> ../home",
		"inside -> out", "out/.npmrc", "out/.env.local", "out/upload.JKS", "out/key.pem", ".git/config", "out/.git/config", "out/credentials.json", "out/id_ed25519",
		".npmrc", "play-service-account.json",
	)
	for _, glob := range []string{
		"out", "out/**", "**", "*", ".", "out/*", "{out,.git,.npmrc}/**", ".git/**", ".git/config", "out/.git/config", ".npmrc", "out/.npmrc", "out/up/secret.txt", "out/up/**",
		"outside/**", "outside/secret.txt", "outside", "inside/app.log", "inside/**", "out/passwd", "out/**/{.npmrc,.env.local,*.JKS,*.pem}",
		// Package profile refuses these before; here nothing is behind them either.
		"../home/secret.txt", "../home/**", "/etc/passwd", "out/../../home/secret.txt",
	} {
		got, err := artifacts.Find(t.Context(), root, []string{glob}, []string{glob}, artifacts.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", glob, err)
			continue
		}
		for _, name := range got.Names {
			if !slices.Contains([]string{"out/app.log", "out/log", "inside"}, name) {
				t.Errorf("%s takes %q", glob, name)
			}
		}
	}
	got, err := artifacts.Find(t.Context(), root, []string{"out/**"}, nil, artifacts.DefaultLimits())
	must(t, err)
	if d := cmp.Diff([]string{"out/app.log", "out/log"}, got.Names); d != "" {
		t.Error(d)
	}
	for _, want := range []string{`"out/up": the link points outside`, `"out/passwd": the link points to an absolute path`, `"out/key.pem": a file of this name may hold credentials`} {
		if !strings.Contains(strings.Join(got.Warnings, "\n"), want) {
			t.Errorf("the warnings %q lack %q", got.Warnings, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	root := tree(t, "a/1", "a/2", "a/3")
	for limits, ok := range map[artifacts.Limits]bool{
		{Bytes: 3, Files: 3}: true, {Bytes: 2, Files: 3}: false, {Bytes: 3, Files: 2}: false,
	} {
		got, err := artifacts.Find(t.Context(), root, []string{"a"}, nil, limits)
		if ok != (err == nil) || !ok && (!errors.Is(err, artifacts.ErrTooLarge) || !strings.Contains(err.Error(), "3 files")) {
			t.Errorf("with %v: %v, %v", limits, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := artifacts.Find(ctx, root, []string{"a"}, nil, artifacts.DefaultLimits()); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	root := tree(t, "a/1", "a/[x]", "a/l -> 1")
	f, err := artifacts.Pack(t.Context(), root.Name(), filepath.Join(t.TempDir(), artifacts.FileName), []string{"a/1", "a/[x]", "a/l"})
	must(t, err)
	defer f.Close()
	_, err = f.Seek(0, io.SeekStart)
	must(t, err)
	z, err := gzip.NewReader(f)
	must(t, err)
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
	}
	if d := cmp.Diff([]string{"a/1", "a/[x]", "a/l"}, names); d != "" {
		t.Error(d)
	}
	to := filepath.Join(t.TempDir(), artifacts.FileName)
	if _, err := artifacts.Pack(t.Context(), root.Name(), to, []string{"a/none"}); err == nil {
		t.Error("a missing file was packed")
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a failed pack left its archive")
	}
}
