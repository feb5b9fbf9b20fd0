package pack_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/pack"
)

// npm and Expo read files with a byte order mark, and Expo reads app.json as JSON5.
func TestOpenReadsWhatNpmAndExpoRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"package.json": "\ufeff{\"name\": \"from-package\"}\n",
		"app.json":     "\ufeff{\n  // the name in URLs\n  expo: {slug: 'from-app'},\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := pack.Open(t.Context(), dir, pack.Options{})
	if err != nil || p.Name != "from-app" {
		t.Errorf("Open = %+v, %v, want the slug of app.json", p, err)
	}
	if err := os.Remove(filepath.Join(dir, "app.json")); err != nil {
		t.Fatal(err)
	}
	p, err = pack.Open(t.Context(), dir, pack.Options{})
	if err != nil || p.Name != "from-package" {
		t.Errorf("Open = %+v, %v, want the name in package.json", p, err)
	}
}
