package labels

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestDetect: versions are found in what tools print, and a tool that fails or is missing has no label.
func TestDetect(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"node": "echo v22.11.0", "java": `echo 'openjdk version "17.0.9" 2023-10-17' >&2; echo 'OpenJDK Runtime Environment' >&2`,
		"yarn": "echo 'Internal Error: no network 1.2.3' >&2; exit 1", "ruby": "echo 'ruby 3.2.2 (2023-03-30 revision e51014f9c0) [x86_64-linux]'",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it must be executable
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	got := Detect(t.Context())
	for label, want := range map[string]string{"node": "22.11.0", "java": "17.0.9", "yarn": "", "pnpm": "", "ruby": "3.2.2", "arch": runtime.GOARCH} {
		if got[label] != want {
			t.Errorf("label %s = %q, want %q", label, got[label], want)
		}
	}
}
