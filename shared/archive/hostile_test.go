package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

func wantRefused(t *testing.T, data []byte, limits archive.Limits, want error) {
	t.Helper()
	if _, err := inspect(data, limits); !errors.Is(err, want) {
		t.Errorf("Inspect = %v, want %v", err, want)
	}
	wantUnpackRefused(t, data, limits, want)
}

func wantUnpackRefused(t *testing.T, data []byte, limits archive.Limits, want error) {
	t.Helper()
	parent := t.TempDir()
	for _, dir := range []string{filepath.Join(parent, "new"), parent} {
		if _, err := unpack(data, dir, limits); !errors.Is(err, want) {
			t.Errorf("Unpack = %v, want %v", err, want)
		}
		if left := tree(t, parent); len(left) > 0 {
			t.Errorf("Unpack left %v", left)
		}
	}
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	attacks := map[string][]member{
		"dot dot":               {{name: "../evil"}},
		"dot dot inside":        {{name: "a/../../evil"}},
		"harmless dot dot":      {{name: "a/../b"}},
		"absolute":              {{name: "/etc/evil"}},
		"backslash":             {{name: `..\evil`}},
		"drive letter":          {{name: "C:/evil"}},
		"drive relative":        {{name: "c:evil"}},
		"not UTF-8":             {{name: "a\xff"}},
		"long element":          {{name: long}},
		"long path":             {{name: strings.Repeat("abcdefgh/", 500) + "x"}},
		"duplicate":             {{name: "a", content: "1"}, {name: "./a", content: "2"}},
		"file then directory":   {{name: "a", content: "1"}, {name: "a/"}},
		"absolute link":         {{name: "l", typ: tar.TypeSymlink, link: "/etc/passwd"}},
		"link outside":          {{name: "l", typ: tar.TypeSymlink, link: "../x"}},
		"deep link outside":     {{name: "a/b/l", typ: tar.TypeSymlink, link: "../../../x"}},
		"link with backslash":   {{name: "l", typ: tar.TypeSymlink, link: `..\x`}},
		"link replaced by file": {{name: "l", typ: tar.TypeSymlink, link: "a"}, {name: "l", content: "x"}},
		"link without target":   {{name: "l", typ: tar.TypeSymlink}},
		"link long target":      {{name: "l", typ: tar.TypeSymlink, link: strings.Repeat("a/", 3000)}},
		"root is a link":        {{name: "./", typ: tar.TypeSymlink, link: "a"}},
		"pipe":                  {{name: "p", typ: tar.TypeFifo}},
		"device":                {{name: "d", typ: tar.TypeChar}},
		"after honest ones":     {{name: "good/a", content: "a"}, {name: "good/b", content: "b"}, {name: "../evil"}},
	}
	for format, build := range builders {
		for name, members := range attacks {
			if format == "zip" && name == "root is a link" {
				continue // a zip's name with a slash is a directory
			}
			t.Run(format+"/"+name, func(t *testing.T) {
				t.Parallel()
				wantRefused(t, build(t, members...), archive.Limits{}, archive.ErrUnsafe)
			})
		}
	}
	tarOnly := map[string][]member{
		"hard link outside":    {{name: "h", typ: tar.TypeLink, link: "../../etc/passwd"}},
		"hard link absolute":   {{name: "h", typ: tar.TypeLink, link: "/etc/passwd"}},
		"hard link to nothing": {{name: "h", typ: tar.TypeLink, link: "later"}, {name: "later"}},
		"hard link to a link":  {{name: "l", typ: tar.TypeSymlink, link: "x"}, {name: "h", typ: tar.TypeLink, link: "l"}},
		"hard link to itself":  {{name: "h", typ: tar.TypeLink, link: "h"}},
		"block device":         {{name: "b", typ: tar.TypeBlock}},
	}
	for name, members := range tarOnly {
		t.Run("tar.gz/"+name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, tarGz(t, members...), archive.Limits{}, archive.ErrUnsafe)
		})
	}
}

func TestAttacksThroughTheTree(t *testing.T) {
	t.Parallel()
	attacks := map[string][]member{
		// By its letters y stays inside; through x it is the parent's parent.
		"link through link": {
			{name: "d/f", content: "x"},
			{name: "p/q/x", typ: tar.TypeSymlink, link: "../../d"},
			{name: "y", typ: tar.TypeSymlink, link: "p/q/x/../.."},
		},
		"file through such a link": {
			{name: "d/f", content: "x"},
			{name: "p/q/x", typ: tar.TypeSymlink, link: "../../d"},
			{name: "y", typ: tar.TypeSymlink, link: "p/q/x/../.."},
			{name: "y/evil", content: "x"},
		},
		"file below a file": {{name: "a", content: "x"}, {name: "a/b", content: "y"}},
		"endless link":      {{name: "l", typ: tar.TypeSymlink, link: "l"}},
	}
	for format, build := range builders {
		for name, members := range attacks {
			t.Run(format+"/"+name, func(t *testing.T) {
				t.Parallel()
				wantUnpackRefused(t, build(t, members...), archive.Limits{}, archive.ErrUnsafe)
			})
		}
	}
}

func TestNUL(t *testing.T) {
	t.Parallel()
	data := zipOf(t, member{name: "aXb", content: "x"})
	wantRefused(t, bytes.ReplaceAll(data, []byte("aXb"), []byte("a\x00b")), archive.Limits{}, archive.ErrUnsafe)
}

func TestUnsafeNameIsQuotedAndCut(t *testing.T) {
	t.Parallel()
	name := "../" + strings.Repeat("\x1b[31mx", 200)
	_, err := inspect(tarGz(t, member{name: name}), archive.Limits{})
	if err == nil || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 500 || !strings.Contains(err.Error(), "../") {
		t.Errorf("Inspect = %q, want the name quoted and cut", err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	members := []member{{name: "a", content: "12345"}, {name: "b", content: "12345"}, {name: "c/"}}
	tests := map[string]struct {
		limits archive.Limits
		ok     bool
	}{
		"entries":        {archive.Limits{Entries: 2}, false},
		"entries fit":    {archive.Limits{Entries: 3}, true},
		"one file":       {archive.Limits{EntryBytes: 4}, false},
		"one file fits":  {archive.Limits{EntryBytes: 5}, true},
		"all files":      {archive.Limits{TotalBytes: 9}, false},
		"all files fit":  {archive.Limits{TotalBytes: 10}, true},
		"no limits":      {archive.Limits{Entries: -1, EntryBytes: -1, TotalBytes: -1, Ratio: -1}, true},
		"default limits": {archive.Limits{}, true},
	}
	for format, build := range builders {
		data := build(t, members...)
		for name, tt := range tests {
			t.Run(format+"/"+name, func(t *testing.T) {
				t.Parallel()
				if !tt.ok {
					wantRefused(t, data, tt.limits, archive.ErrTooLarge)
					return
				}
				if _, err := inspect(data, tt.limits); err != nil {
					t.Errorf("Inspect = %v", err)
				}
				if _, err := unpack(data, t.TempDir(), tt.limits); err != nil {
					t.Errorf("Unpack = %v", err)
				}
			})
		}
	}
}

func TestBomb(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 65<<20)
	for format, build := range builders {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			data := build(t, member{name: "zeros", content: zeros})
			if _, err := inspect(data, archive.Limits{}); !errors.Is(err, archive.ErrTooLarge) {
				t.Errorf("Inspect = %v, want ErrTooLarge", err)
			}
			// The ratio of what really comes out, on the way.
			dir := filepath.Join(t.TempDir(), "new")
			if _, err := archive.UnpackTarGz(t.Context(), bytes.NewReader(data), dir, archive.Limits{}); format == "tar.gz" && !errors.Is(err, archive.ErrTooLarge) {
				t.Errorf("UnpackTarGz = %v, want ErrTooLarge", err)
			}
			wantRefused(t, data, archive.Limits{Ratio: -1, TotalBytes: 1 << 20}, archive.ErrTooLarge)
		})
	}
}

func TestLyingZip(t *testing.T) {
	t.Parallel()
	data := zipOf(t, member{name: "a", content: strings.Repeat("x", 1<<20)})
	at := bytes.LastIndex(data, []byte("PK\x01\x02"))
	copy(data[at+24:], []byte{10, 0, 0, 0})
	wantUnpackRefused(t, data, archive.Limits{}, archive.ErrCorrupt)
}

func TestManyHeadersAreABomb(t *testing.T) {
	t.Parallel()
	var plain bytes.Buffer
	tw := tar.NewWriter(&plain)
	must(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": strings.Repeat("x", 1<<19)}}))
	must(t, tw.Flush())
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	for range 20 {
		zw.Write(plain.Bytes())
	}
	must(t, zw.Close())
	wantRefused(t, out.Bytes(), archive.Limits{Entries: 10, TotalBytes: 1 << 20, Ratio: -1}, archive.ErrTooLarge)
}

func TestHardLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := tarGz(t, member{name: "a", content: "x"}, member{name: "b/c", typ: tar.TypeLink, link: "./a"})
	if _, err := archive.UnpackTarGz(t.Context(), bytes.NewReader(data), dir, archive.Limits{}); err != nil {
		t.Fatalf("UnpackTarGz = %v", err)
	}
	a, errA := os.Stat(filepath.Join(dir, "a"))
	c, errC := os.Stat(filepath.Join(dir, "b/c"))
	if errA != nil || errC != nil || !os.SameFile(a, c) {
		t.Errorf("b/c is not a: %v, %v", errA, errC)
	}
}
