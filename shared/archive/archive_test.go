package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// member is an entry of an archive built for a test.
type member struct {
	name    string
	content string
	typ     byte // tar's; 0 is a file, or a directory when the name ends in "/"
	link    string
	mode    int64
}

func tarGz(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.typ, Linkname: m.link, Mode: m.mode, Size: int64(len(m.content)), ModTime: packedAt}
		if m.typ == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(m.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		must(t, tw.WriteHeader(h))
		_, err := io.WriteString(tw, m.content)
		must(t, err)
	}
	must(t, tw.Close())
	must(t, zw.Close())
	return out.Bytes()
}

var packedAt = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)

func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := zip.NewWriter(&out)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: packedAt}
		mode := fs.FileMode(0o644)
		if m.mode != 0 {
			mode = fs.FileMode(m.mode)
		}
		content := m.content
		switch m.typ {
		case tar.TypeSymlink:
			mode, content = fs.ModeSymlink|0o777, m.link
		case tar.TypeFifo:
			mode |= fs.ModeNamedPipe
		case tar.TypeChar:
			mode |= fs.ModeDevice | fs.ModeCharDevice
		}
		if strings.HasSuffix(m.name, "/") {
			mode |= fs.ModeDir
		}
		h.SetMode(mode)
		w, err := zw.CreateHeader(h)
		must(t, err)
		_, err = io.WriteString(w, content)
		must(t, err)
	}
	must(t, zw.Close())
	return out.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// builders are the formats that most tests run over.
var builders = map[string]func(testing.TB, ...member) []byte{"tar.gz": tarGz, "zip": zipOf}

func inspect(data []byte, limits archive.Limits) (archive.Summary, error) {
	return archive.Inspect(context.Background(), bytes.NewReader(data), int64(len(data)), limits)
}

func unpack(data []byte, dir string, limits archive.Limits) (archive.Summary, error) {
	return archive.Unpack(context.Background(), bytes.NewReader(data), int64(len(data)), dir, limits)
}

// wantRefused checks that both ways refuse data and that nothing is left, in
// the directory or beside it.
// tree maps each path below dir to its kind and content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			out[rel] = "dir"
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			out[rel] = "-> " + target
		default:
			b, _ := os.ReadFile(path)
			info, _ := d.Info()
			out[rel] = info.Mode().String() + " " + string(b)
		}
		return nil
	}))
	return out
}

func TestHonestArchive(t *testing.T) {
	t.Parallel()
	members := []member{
		{name: "./"},
		{name: "app/"},
		{name: "app/package.json", content: "{}"},
		{name: "./app/run.sh", content: "#!/bin/sh", mode: 0o4775},
		{name: "app/node_modules/.bin/tool", typ: tar.TypeSymlink, link: "../tool/cli.js"},
		{name: "app/node_modules/tool/cli.js", content: "cli"},
		{name: "app/dangling", typ: tar.TypeSymlink, link: "nowhere"},
		{name: "empty", content: ""},
		{name: "späce and ünicode.txt", content: "ü"},
	}
	want := map[string]string{
		"app":                          "dir",
		"app/package.json":             "-rw-r--r-- {}",
		"app/run.sh":                   "-rwxr-xr-x #!/bin/sh",
		"app/node_modules":             "dir",
		"app/node_modules/.bin":        "dir",
		"app/node_modules/.bin/tool":   "-> ../tool/cli.js",
		"app/node_modules/tool":        "dir",
		"app/node_modules/tool/cli.js": "-rw-r--r-- cli",
		"app/dangling":                 "-> nowhere",
		"empty":                        "-rw-r--r-- ",
		"späce and ünicode.txt":        "-rw-r--r-- ü",
	}
	formats := map[string]archive.Format{"zip": archive.Zip, "tar.gz": archive.TarGz}
	for name, build := range builders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, dir := build(t, members...), t.TempDir()
			wantSum := archive.Summary{Format: formats[name], Entries: 9, Files: 5, Dirs: 2, Links: 2, Bytes: 16}
			for what, got := range map[string]func() (archive.Summary, error){
				"Inspect": func() (archive.Summary, error) { return inspect(data, archive.Limits{}) },
				"Unpack":  func() (archive.Summary, error) { return unpack(data, dir, archive.Limits{}) },
			} {
				sum, err := got()
				if err != nil {
					t.Fatalf("%s = %v", what, err)
				}
				if diff := cmp.Diff(wantSum, sum); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("unpacked (-want +got):\n%s", diff)
			}
			info, err := os.Stat(filepath.Join(dir, "app/package.json"))
			if err != nil || !info.ModTime().Equal(packedAt) {
				t.Errorf("time = %v, %v, want %v", info.ModTime(), err, packedAt)
			}
		})
	}
}

// These need the file system to be seen: Inspect may pass them.
// The directory says 10 bytes, the data has 1 MiB.
func TestNotAnArchive(t *testing.T) {
	t.Parallel()
	gz := func(s string) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		io.WriteString(w, s)
		must(t, w.Close())
		return out.Bytes()
	}
	tests := map[string]struct {
		data []byte
		want error
	}{
		"empty":         {nil, archive.ErrEmpty},
		"text":          {[]byte("this is not an archive"), archive.ErrNotArchive},
		"one byte":      {[]byte("P"), archive.ErrNotArchive},
		"gzipped text":  {gz(strings.Repeat("text ", 1000)), archive.ErrNotArchive},
		"only magic":    {[]byte{0x1f, 0x8b}, archive.ErrCorrupt},
		"only zip head": {[]byte("PK\x03\x04"), archive.ErrCorrupt},
		"zip with tail": {append(zipOf(t, member{name: "a"}), "garbage"...), archive.ErrCorrupt},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, tt.data, archive.Limits{}, tt.want)
		})
	}
}

// Deployed clients' contract tests submit such a tar.gz.
func TestArchiveOfNothing(t *testing.T) {
	t.Parallel()
	for format, build := range builders {
		data := build(t)
		sum, err := inspect(data, archive.Limits{})
		if err != nil || sum.Entries != 0 || sum.Format.String() != format {
			t.Errorf("%s: Inspect = %+v, %v, want no entries, no error", format, sum, err)
		}
		if _, err := unpack(data, t.TempDir(), archive.Limits{}); err != nil {
			t.Errorf("%s: Unpack = %v", format, err)
		}
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	for format, build := range builders {
		data := build(t, member{name: "a", content: strings.Repeat("content", 100)}, member{name: "b/"}, member{name: "c", content: "x"})
		for n := 4; n < len(data); n++ {
			if _, err := inspect(data[:n], archive.Limits{}); !errors.Is(err, archive.ErrCorrupt) {
				t.Fatalf("%s cut to %d of %d bytes: Inspect = %v, want ErrCorrupt", format, n, len(data), err)
			}
		}
		wantUnpackRefused(t, data[:len(data)-1], archive.Limits{}, archive.ErrCorrupt)
	}
}

func TestUnpackNeedsAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o600))
	if _, err := unpack(tarGz(t, member{name: "a"}), dir, archive.Limits{}); !errors.Is(err, archive.ErrNotEmpty) {
		t.Errorf("Unpack = %v, want ErrNotEmpty", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "mine")); err != nil {
		t.Errorf("my file: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	cancel(stopping)
	for format, build := range builders {
		data := build(t, member{name: "a", content: "x"})
		r := bytes.NewReader(data)
		if _, err := archive.Inspect(ctx, r, int64(len(data)), archive.Limits{}); !errors.Is(err, stopping) {
			t.Errorf("%s: Inspect = %v, want the cause", format, err)
		}
		dir := filepath.Join(t.TempDir(), "new")
		if _, err := archive.Unpack(ctx, r, int64(len(data)), dir, archive.Limits{}); !errors.Is(err, stopping) {
			t.Errorf("%s: Unpack = %v, want the cause", format, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Unpack left its directory: %v", format, err)
		}
	}
}
