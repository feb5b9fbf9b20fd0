package archive_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// TestDigestFiles: it is that of what PackFiles packs; every change of what is sent changes it, and a time does not.
func TestDigestFiles(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b/two", "b/link", "run"}
	of := func(dir string, names ...string) string {
		t.Helper()
		h := sha256.New()
		must(t, archive.DigestFiles(t.Context(), h, dir, names))
		return hex.EncodeToString(h.Sum(nil))
	}
	dir := sampleDir(t)
	first := of(dir, names...)
	packed := sha256.New()
	_, err := archive.PackFiles(t.Context(), &bytes.Buffer{}, dir, names, archive.PackOptions{Digest: packed})
	must(t, err)
	if got := hex.EncodeToString(packed.Sum(nil)); got != first {
		t.Errorf("PackFiles has the digest %s, DigestFiles %s", got, first)
	}
	must(t, os.Chtimes(filepath.Join(dir, "a"), time.Now(), time.Unix(1, 0)))
	if got := of(dir, names...); got != first {
		t.Error("a time changes the digest")
	}
	seen := map[string]string{first: "nothing", of(dir, names[:3]...): "a file less"}
	for what, change := range map[string]func(path string) error{
		"content":    func(p string) error { return os.WriteFile(p+"/a", []byte("2"), 0o600) },
		"longer":     func(p string) error { return os.WriteFile(p+"/a", []byte("11"), 0o600) },
		"mode":       func(p string) error { return os.Chmod(p+"/a", 0o755) },
		"link":       func(p string) error { return os.Remove(p + "/b/link") },
		"moved text": func(p string) error { return os.WriteFile(p+"/a", []byte("122"), 0o600) },
	} {
		other := sampleDir(t)
		must(t, change(other))
		if what == "link" {
			must(t, os.Symlink("two", filepath.Join(other, "b/link")))
		}
		if what == "moved text" {
			must(t, os.WriteFile(filepath.Join(other, "b/two"), nil, 0o600))
		}
		got := of(other, names...)
		if before, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", what, before)
		}
		seen[got] = what
	}
}
