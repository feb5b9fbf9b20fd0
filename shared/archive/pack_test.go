package archive_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

func sampleDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"b/two": "22", "a": "1", "b/skip/x": "no", "run": "#!"} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o600))
	}
	must(t, os.Chmod(filepath.Join(dir, "run"), 0o700))
	must(t, os.Symlink("../a", filepath.Join(dir, "b/link")))
	return dir
}

func TestPackRoundTrip(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	var heard []int
	opts := archive.PackOptions{
		Filter:   func(rel string, _ fs.DirEntry) bool { return rel != "b/skip" },
		Progress: func(_ int64, entries int) { heard = append(heard, entries) },
	}
	var first, second bytes.Buffer
	sum, err := archive.PackTarGz(t.Context(), &first, dir, opts)
	must(t, err)
	want := archive.Summary{Format: archive.TarGz, Entries: 5, Files: 3, Dirs: 1, Links: 1, Bytes: 5}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("PackTarGz (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 5}, heard); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	_, err = archive.PackTarGz(t.Context(), &second, dir, opts)
	must(t, err)
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("packing twice gives different bytes")
	}
	out := t.TempDir()
	got, err := unpack(first.Bytes(), out, archive.Limits{})
	must(t, err)
	if diff := cmp.Diff(sum, got); diff != "" {
		t.Errorf("Unpack (-packed +unpacked):\n%s", diff)
	}
	wantTree := map[string]string{"a": "-rw-r--r-- 1", "b": "dir", "b/two": "-rw-r--r-- 22", "b/link": "-> ../a", "run": "-rwxr-xr-x #!"}
	if diff := cmp.Diff(wantTree, tree(t, out)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

// With a fixed time, two copies of the same files give the same bytes.
func TestPackFixedTime(t *testing.T) {
	t.Parallel()
	opts := archive.PackOptions{ModTime: time.Unix(1_700_000_000, 0)}
	var out [2]bytes.Buffer
	for i := range out {
		dir := sampleDir(t)
		must(t, os.Chtimes(filepath.Join(dir, "a"), time.Now(), time.Unix(int64(i)*1e9, 0)))
		_, err := archive.PackTarGz(t.Context(), &out[i], dir, opts)
		must(t, err)
	}
	if !bytes.Equal(out[0].Bytes(), out[1].Bytes()) {
		t.Error("two copies give different bytes")
	}
}

func TestPackRefusesLinksOutside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "l")))
	_, err := archive.PackTarGz(t.Context(), &bytes.Buffer{}, dir, archive.PackOptions{})
	if !errors.Is(err, archive.ErrUnsafe) {
		t.Errorf("PackTarGz = %v, want ErrUnsafe", err)
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

func TestPackWriteError(t *testing.T) {
	t.Parallel()
	full := errors.New("no space")
	_, err := archive.PackTarGz(t.Context(), writerFunc(func([]byte) (int, error) { return 0, full }), sampleDir(t), archive.PackOptions{})
	if !errors.Is(err, full) {
		t.Errorf("PackTarGz = %v, want the writer's error", err)
	}
	if _, err := archive.PackTarGz(t.Context(), &bytes.Buffer{}, filepath.Join(t.TempDir(), "none"), archive.PackOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("PackTarGz of nothing = %v, want ErrNotExist", err)
	}
	if _, err := archive.PackTarGz(t.Context(), &bytes.Buffer{}, t.TempDir(), archive.PackOptions{Level: 42}); err == nil || !strings.Contains(err.Error(), "level") {
		t.Errorf("PackTarGz with level 42 = %v, want an error", err)
	}
}

// PackFiles packs what is named, in that order, and no more.
func TestPackFiles(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	var packed bytes.Buffer
	sum, err := archive.PackFiles(t.Context(), &packed, dir, []string{"b/two", "a", "b/link", "empty"}, archive.PackOptions{})
	must(t, err)
	if want := (archive.Summary{Format: archive.TarGz, Entries: 4, Files: 2, Dirs: 1, Links: 1, Bytes: 3}); sum != want {
		t.Errorf("PackFiles = %+v, want %+v", sum, want)
	}
	out := t.TempDir()
	_, err = unpack(packed.Bytes(), out, archive.Limits{})
	must(t, err)
	want := map[string]string{"a": "-rw-r--r-- 1", "b": "dir", "b/two": "-rw-r--r-- 22", "b/link": "-> ../a", "empty": "dir"}
	if diff := cmp.Diff(want, tree(t, out)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if _, err := archive.PackFiles(t.Context(), &packed, dir, []string{"gone"}, archive.PackOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("PackFiles of a missing file = %v, want ErrNotExist", err)
	}
	if _, err := archive.PackFiles(t.Context(), &packed, dir, []string{"../x"}, archive.PackOptions{}); err == nil {
		t.Error("PackFiles packs a file outside of the directory")
	}
}

// Git tracks names with colons and backslashes; only those that Windows would take for a way out are
// refused.
func TestPackOddNames(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Log("Windows has no such names")
		return
	}
	dir := t.TempDir()
	names := []string{"a:b", "c:evil", "d:", `back\slash`, "sp ace", "new\nline"}
	for _, name := range names {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	var packed bytes.Buffer
	_, err := archive.PackTarGz(t.Context(), &packed, dir, archive.PackOptions{})
	must(t, err)
	if _, err := inspect(packed.Bytes(), archive.Limits{}); err != nil {
		t.Errorf("Inspect = %v", err)
	}
	out := t.TempDir()
	_, err = unpack(packed.Bytes(), out, archive.Limits{})
	must(t, err)
	got := tree(t, out)
	for _, name := range names {
		if got[name] == "" {
			t.Errorf("%q did not arrive: %v", name, got)
		}
	}
	for _, name := range []string{`..\evil`, `a\..\..\evil`, `\evil`, "caf\xe9", "../x", "/x", ""} {
		if archive.NameFault(name) == "" {
			t.Errorf("NameFault(%q) finds nothing", name)
		}
	}
	zipped := zipOf(t, member{name: `back\slash`, content: "x"})
	wantRefused(t, zipped, archive.Limits{}, archive.ErrUnsafe)
}

// A sparse file compresses a thousandfold. As a source it is no bomb; as anything else it is.
func TestSparseSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "seed.db"))
	must(t, err)
	must(t, errors.Join(f.Truncate(100<<20), f.Close()))
	var packed bytes.Buffer
	_, err = archive.PackTarGz(t.Context(), &packed, dir, archive.PackOptions{})
	must(t, err)
	if _, err := inspect(packed.Bytes(), archive.Limits{}); !errors.Is(err, archive.ErrTooLarge) {
		t.Errorf("Inspect by the default limits = %v, want ErrTooLarge", err)
	}
	if _, err := archive.InspectTarGz(t.Context(), bytes.NewReader(packed.Bytes()), archive.SourceLimits()); err != nil {
		t.Errorf("Inspect of a source = %v", err)
	}
	if sum, err := unpack(packed.Bytes(), t.TempDir(), archive.SourceLimits()); err != nil || sum.Bytes != 100<<20 {
		t.Errorf("Unpack of a source = %+v, %v", sum, err)
	}
	limits := archive.SourceLimits()
	limits.RatioFloor = 99 << 20 // the ratio counts beyond the floor
	wantRefused(t, packed.Bytes(), limits, archive.ErrTooLarge)
}
