package standalone_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// installable is an app that installs a package without a network.
func installable(t *testing.T) *bytes.Buffer {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"package.json":               `{"name":"app","private":true,"workspaces":["packages/*"],"dependencies":{"expo":"1.0.0"},"scripts":{"postinstall":"node make.js"}}`,
		"make.js":                    "require('fs').writeFileSync('noise',require('crypto').randomBytes(300000))\n", // more than a small object
		"packages/expo/package.json": `{"name":"expo","version":"1.0.0","bin":{"expo":"cli.js"}}`,
		"packages/expo/cli.js":       "#!/usr/bin/env node\nrequire('fs').mkdirSync('dist');require('fs').writeFileSync('dist/made','it')\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	npm := exec.CommandContext(t.Context(), "npm", "install", "--package-lock-only", "--offline", "--no-audit")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm (Node 20 or newer must be installed): %v: %s", err, out)
	}
	var buf bytes.Buffer
	if _, err := archive.PackTarGz(t.Context(), &buf, dir, archive.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// buildOn builds a source on a worker of its own, and returns the log. Afterwards the worker is stopped.
func (s *server) buildOn(name, branch string, source []byte, then func()) (log string) {
	s.t.Helper()
	worker := s.shellWorker(s.URL(), name)
	defer worker.stop()
	sub, err := s.client().Builds.Submit(s.t.Context(), api.Submit{Platform: "android", Project: "shop", Origin: build.Origin{Branch: branch}, Source: bytes.NewReader(source)})
	if err != nil {
		s.t.Fatal(err)
	}
	if b := s.ended(sub.ID); b.Status != "completed" || b.WorkerName != name {
		s.t.Fatalf("build = %+v; the worker said: %s", b, worker.out.String())
	}
	s.eventually("the log is whole", func() bool {
		log = ""
		err := s.client().Builds.ReadLog(s.t.Context(), sub.ID, func(l api.LogLine) error { log += l.Text + "\n"; return nil })
		return err == nil && strings.Contains(log, "Build completed successfully")
	})
	then()
	return log
}

// cacheKeys returns the places of the shared cache's entries in the object store, those that have arrived.
func cacheKeys(t *testing.T, dir string) (keys []string) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite://" + filepath.Join(dir, "artifact.db"), Service: "artifact"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Read().QueryContext(t.Context(), "SELECT s3_key FROM objects WHERE kind = 17 AND state IN ('stored', 'kept')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestSharedCache: the first build of a second worker takes what the first worker has installed. What a pull request installs stays its own, and a
// damaged entry is a miss that the next build replaces.
func TestSharedCache(t *testing.T) {
	cfg := config(t)
	cfg.Artifact.CacheBytes = 1 << 30
	cfg.Artifact.LogSettle = 100 * time.Millisecond
	s := start(t, cfg)
	source := installable(t).Bytes()
	arrived := func(n int) func() {
		return func() {
			s.eventually("the entry is in the farm's cache", func() bool { return len(cacheKeys(t, cfg.Dir)) == n })
		}
	}
	wants := func(log, want string) {
		t.Helper()
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	log := s.buildOn("first", "main", source, arrived(1))
	wants(log, "install is not in the cache; it is kept for the next build")
	wants(log, "install goes to the farm's cache: ")
	log = s.buildOn("second", "main", source, func() {})
	wants(log, "install from the farm's cache, ")
	wants(log, "install from the cache: ")
	log = s.buildOn("third", "pr-1", source, func() {})
	wants(log, "install from the cache of trusted branches: ")

	other := bytes.Clone(source)
	s.damageCache(cfg)
	log = s.buildOn("fourth", "main", other, arrived(2))
	wants(log, "install is not taken from the farm's cache: ")
	wants(log, "install goes to the farm's cache: ")
	wants(s.buildOn("fifth", "main", source, func() {}), "install from the farm's cache, ")
}

// damageCache changes a byte of each entry.
func (s *server) damageCache(cfg standalone.Config) {
	s.t.Helper()
	damaged := 0
	for _, name := range storedObjects(s.t, s) {
		if !strings.Contains(name, "/cache-") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(name, data, 0o600); err != nil {
			s.t.Fatal(err)
		}
		damaged++
	}
	if damaged == 0 {
		s.t.Fatalf("no entry of the cache in the object store: %v, keys %v", storedObjects(s.t, s), cacheKeys(s.t.(*testing.T), cfg.Dir))
	}
}
