package archive_test

import (
	"archive/tar"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// FuzzUnpack feeds damaged and hostile archives: whatever they hold, nothing
// appears beside the directory, nothing stays after an error, and what is
// accepted stays within the limits and inside the directory.
func FuzzUnpack(f *testing.F) {
	members := []member{
		{name: "a/b", content: "content"},
		{name: "l", typ: tar.TypeSymlink, link: "a/b"},
		{name: "run", content: "#!", mode: 0o755},
	}
	for _, build := range builders {
		f.Add(build(f, members...))
		f.Add(build(f))
		f.Add(build(f, member{name: "../evil", content: "x"}))
		f.Add(build(f, member{name: "l", typ: tar.TypeSymlink, link: ".."}, member{name: "l/evil", content: "x"}))
	}
	f.Add(tarGz(f, member{name: "a", content: "x"}, member{name: "h", typ: tar.TypeLink, link: "a"}))
	f.Add([]byte("PK\x05\x06"))
	f.Add([]byte("text"))
	limits := archive.Limits{Entries: 100, EntryBytes: 1 << 20, TotalBytes: 2 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "into")
		_, inspectErr := inspect(data, limits)
		sum, err := unpack(data, dir, limits)
		if err == nil && inspectErr != nil {
			t.Errorf("Unpack accepts what Inspect refuses: %v", inspectErr)
		}
		left := tree(t, parent)
		if err != nil && len(left) > 0 {
			t.Errorf("Unpack = %v and left %v", err, left)
		}
		for name := range left {
			if name != "into" && filepath.Dir(name) == "." {
				t.Errorf("%s appeared beside the directory", name)
			}
		}
		if err == nil {
			checkInside(t, dir, sum, limits)
		}
	})
}

func checkInside(t *testing.T, dir string, sum archive.Summary, limits archive.Limits) {
	if sum.Entries > limits.Entries || sum.Bytes > limits.TotalBytes {
		t.Errorf("accepted %+v beyond %+v", sum, limits)
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != fs.ModeSymlink {
			return err
		}
		target, err := filepath.EvalSymlinks(path)
		if os.IsNotExist(err) {
			return nil
		}
		if rel, relErr := filepath.Rel(dir, target); err != nil || relErr != nil || !filepath.IsLocal(rel) {
			t.Errorf("link %s leads to %s (%v)", path, target, err)
		}
		return nil
	}))
}
