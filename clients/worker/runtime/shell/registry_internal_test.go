package shell

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRegistryIsAskedAgain: an npm that does not answer is no silent default, and is asked again. Credentials in the address are dropped.
func TestRegistryIsAskedAgain(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nif [ -e " + dir + "/ready ]; then echo https://user:secret@npm.example.com/all/; else echo broken; exit 1; fi\n"
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	var log strings.Builder
	r := newRegistry(map[string]string{}, slog.New(slog.NewTextHandler(&log, nil)))
	r.ask(t.Context())
	if r.known() != "" || !strings.Contains(log.String(), "npm did not tell its registry") {
		t.Errorf("registry %q, log %q, want a warning", r.known(), log.String())
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.ask(t.Context()) // too early
	if r.known() != "" {
		t.Error("npm was asked again at once")
	}
	r.asked = time.Now().Add(-registryPause)
	r.ask(t.Context())
	if r.known() != "https://npm.example.com/all/" {
		t.Errorf("registry %q", r.known())
	}
	own := newRegistry(map[string]string{"NPM_CONFIG_REGISTRY": "x"}, nil)
	if own.ask(t.Context()); own.known() != "" {
		t.Error("npm is asked although the variables have the registry")
	}
}
