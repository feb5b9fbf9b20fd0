package objectstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/objects"
)

// Opener returns a store whose bucket exists and is the test's own. It
// registers its own clean-up.
type Opener func(t *testing.T) objects.Store

// Each runs the whole suite, in parallel, over every implementation.
func Each(t *testing.T, implementations map[string]Opener) {
	for name, open := range implementations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Suite(t, open)
		})
	}
}

// Suite checks one implementation.
func Suite(t *testing.T, open Opener) {
	tests := map[string]func(*testing.T, objects.Store){
		"round trip":           testRoundTrip,
		"replace":              testReplace,
		"missing":              testMissing,
		"ranges":               testRanges,
		"file":                 testFile,
		"copy":                 testCopy,
		"list":                 testList,
		"too large":            testTooLarge,
		"wrong size":           testWrongSize,
		"cut source":           testCutSource,
		"cancelled":            testCancelled,
		"cancelled while read": testBlockedSource,
		"failed keeps old":     testFailedReplaceKeepsOld,
		"ensure bucket twice":  testEnsureBucketTwice,
		"verify":               testVerify,
		"pieces":               testPieces,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// Bytes returns n reproducible bytes that do not compress.
func Bytes(n int) []byte {
	out := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(out)
	return out
}

// Sum is the lower-case hex SHA-256 of b.
func Sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// unsized hides what a reader could tell about its length.
type unsized struct{ io.Reader }

func put(t *testing.T, s objects.Store, key string, content []byte, size int64) objects.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, unsized{bytes.NewReader(content)}, size, 0)
	if err != nil {
		t.Fatalf("Put(%q, %d bytes) = %v", key, len(content), err)
	}
	return info
}

func get(t *testing.T, s objects.Store, key string, offset, length int64) ([]byte, objects.Info) {
	t.Helper()
	rc, info, err := s.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatalf("Get(%q, %d, %d) = %v", key, offset, length, err)
	}
	defer rc.Close()
	got, err := io.ReadAll(rc)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return got, info
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// wantNothing checks that neither an object nor an upload is left.
func wantNothing(t *testing.T, s objects.Store, key string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	_, err := s.Stat(ctx, key)
	wantErr(t, "Stat after the failed Put", err, objects.ErrNotFound)
	wantNoUploads(t, s)
}

func wantNoUploads(t *testing.T, s objects.Store) {
	t.Helper()
	n, err := s.AbortStale(context.WithoutCancel(t.Context()), -time.Hour)
	if n != 0 || err != nil {
		t.Errorf("AbortStale = %d, %v, want 0 uploads left", n, err)
	}
}

func testRoundTrip(t *testing.T, s objects.Store) {
	sizes := []int{0, 1, 4096, objects.PartSize - 1, objects.PartSize, objects.PartSize + 1, 2*objects.PartSize + 12345}
	for _, n := range sizes {
		content := Bytes(n)
		for _, declared := range []int64{int64(n), -1} {
			key := fmt.Sprintf("project/build/%d/%d", n, declared+1)
			want := objects.Info{Key: key, Size: int64(n), SHA256: Sum(content)}
			info := put(t, s, key, content, declared)
			info.ETag = ""
			if diff := cmp.Diff(want, info); diff != "" {
				t.Errorf("Put(%d bytes, size %d) (-want +got):\n%s", n, declared, diff)
			}
			got, info := get(t, s, key, 0, -1)
			if !bytes.Equal(got, content) || info.Size != int64(n) {
				t.Errorf("Get(%q) = %d bytes, size %d, want the %d stored ones", key, len(got), info.Size, n)
			}
		}
	}
}

func testReplace(t *testing.T, s objects.Store) {
	put(t, s, "k", []byte("old and long"), -1)
	put(t, s, "k", []byte("new"), 3)
	if got, _ := get(t, s, "k", 0, -1); string(got) != "new" {
		t.Errorf("Get = %q, want %q", got, "new")
	}
}

func testMissing(t *testing.T, s objects.Store) {
	ctx := t.Context()
	_, err := s.Stat(ctx, "no/such")
	wantErr(t, "Stat", err, objects.ErrNotFound)
	_, _, err = s.Get(ctx, "no/such", 0, -1)
	wantErr(t, "Get", err, objects.ErrNotFound)
	_, _, err = s.Get(ctx, "no/such", 5, 10)
	wantErr(t, "ranged Get", err, objects.ErrNotFound)
	_, _, err = s.Get(ctx, "no/such", 0, 0)
	wantErr(t, "empty Get", err, objects.ErrNotFound)
	_, err = s.Open(ctx, "no/such")
	wantErr(t, "Open", err, objects.ErrNotFound)
	wantErr(t, "Copy", s.Copy(ctx, "no/such", "other"), objects.ErrNotFound)
	if err := s.Delete(ctx, "no/such"); err != nil {
		t.Errorf("Delete of a missing object = %v, want nil", err)
	}
	put(t, s, "k", []byte("x"), 1)
	for range 2 {
		if err := s.Delete(ctx, "k"); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
	wantNothing(t, s, "k")
}

func testRanges(t *testing.T, s objects.Store) {
	put(t, s, "k", []byte("0123456789"), 10)
	tests := []struct {
		offset, length int64
		want           string
	}{
		{0, -1, "0123456789"}, {0, 4, "0123"}, {3, 4, "3456"}, {7, -1, "789"}, {8, 100, "89"}, {9, 1, "9"}, {2, 0, ""}, {10, 0, ""},
	}
	for _, tt := range tests {
		got, info := get(t, s, "k", tt.offset, tt.length)
		if string(got) != tt.want || info.Size != 10 {
			t.Errorf("Get(%d, %d) = %q, size %d, want %q, size 10", tt.offset, tt.length, got, info.Size, tt.want)
		}
	}
	for _, r := range [][2]int64{{11, 1}, {10, 1}, {-1, 3}, {11, 0}} {
		_, _, err := s.Get(t.Context(), "k", r[0], r[1])
		wantErr(t, fmt.Sprint("Get", r), err, objects.ErrRange)
	}
}

func testFile(t *testing.T, s objects.Store) {
	content := Bytes(3<<20 + 77)
	put(t, s, "k", content, -1)
	f, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	if err := iotest.TestReader(io.NewSectionReader(f, 0, 5000), content[:5000]); err != nil {
		t.Errorf("first bytes: %v", err)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("ReadAll = %d bytes, %v, want the %d stored ones", len(got), err, len(content))
	}
	tail := make([]byte, 200)
	if n, err := f.ReadAt(tail, f.Size()-100); n != 100 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end = %d, %v, want 100, EOF", n, err)
	}
	put(t, s, "k", []byte("replaced"), -1)
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantErr(t, "ReadAt of a replaced object", err, objects.ErrCorrupt)
	if err := f.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func testCopy(t *testing.T, s objects.Store) {
	content := Bytes(objects.PartSize + 5)
	put(t, s, "from/a", content, -1)
	if err := s.Copy(t.Context(), "from/a", "to/b"); err != nil {
		t.Fatalf("Copy = %v", err)
	}
	for _, key := range []string{"from/a", "to/b"} {
		if got, _ := get(t, s, key, 0, -1); !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes, want the %d copied ones", key, len(got), len(content))
		}
	}
}

func testList(t *testing.T, s objects.Store) {
	for _, key := range []string{"p1/b1/a", "p1/b1/b", "p1/b2/a", "p2/b3/a"} {
		put(t, s, key, []byte(key), -1)
	}
	tests := map[string][]string{
		"":       {"p1/b1/a", "p1/b1/b", "p1/b2/a", "p2/b3/a"},
		"p1/":    {"p1/b1/a", "p1/b1/b", "p1/b2/a"},
		"p1/b1/": {"p1/b1/a", "p1/b1/b"},
		"none/":  nil,
	}
	for prefix, want := range tests {
		var got []string
		for info, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatalf("List(%q) = %v", prefix, err)
			}
			if info.Size != int64(len(info.Key)) {
				t.Errorf("List(%q): %s has %d bytes, want %d", prefix, info.Key, info.Size, len(info.Key))
			}
			got = append(got, info.Key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("List(%q) (-want +got):\n%s", prefix, diff)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.List(ctx, "") {
		wantErr(t, "List with a dead context", err, context.Canceled)
	}
}

func testTooLarge(t *testing.T, s objects.Store) {
	content := Bytes(objects.PartSize + 1000)
	tests := []struct{ size, limit int64 }{
		{int64(len(content)), 10}, {-1, 10}, {-1, objects.PartSize}, {-1, int64(len(content)) - 1},
	}
	for i, tt := range tests {
		key := fmt.Sprint("k", i)
		_, err := s.Put(t.Context(), key, unsized{bytes.NewReader(content)}, tt.size, tt.limit)
		wantErr(t, fmt.Sprintf("Put(size %d, limit %d)", tt.size, tt.limit), err, objects.ErrTooLarge)
		wantNothing(t, s, key)
	}
	for _, size := range []int64{-1, int64(len(content))} {
		if _, err := s.Put(t.Context(), "fits", unsized{bytes.NewReader(content)}, size, int64(len(content))); err != nil {
			t.Errorf("Put of exactly the limit, size %d = %v", size, err)
		}
	}
}

func testWrongSize(t *testing.T, s objects.Store) {
	for _, n := range []int64{100, objects.PartSize + 100} {
		for _, declared := range []int64{n - 1, n + 1} {
			_, err := s.Put(t.Context(), "k", unsized{bytes.NewReader(Bytes(int(n)))}, declared, 0)
			wantErr(t, fmt.Sprintf("Put(%d bytes, size %d)", n, declared), err, objects.ErrSizeMismatch)
			wantNothing(t, s, "k")
		}
	}
}

// A cut HTTP body answers io.ErrUnexpectedEOF, which must not pass for an end.
func testCutSource(t *testing.T, s objects.Store) {
	for _, cut := range []error{io.ErrUnexpectedEOF, errors.New("connection reset")} {
		for _, n := range []int{0, 1000, objects.PartSize, objects.PartSize + 1000} {
			src := io.MultiReader(bytes.NewReader(Bytes(n)), iotest.ErrReader(cut))
			_, err := s.Put(t.Context(), "k", src, -1, 0)
			wantErr(t, fmt.Sprintf("Put cut after %d bytes", n), err, cut)
			wantNothing(t, s, "k")
		}
	}
}

// hook calls at once after n bytes.
type hook struct {
	r    io.Reader
	n    int
	call func()
}

func (h *hook) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	if h.n > 0 && h.n <= n {
		h.call()
	}
	h.n -= n
	return n, err
}

func testCancelled(t *testing.T, s objects.Store) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("we are stopping")
	src := &hook{r: bytes.NewReader(Bytes(3 * objects.PartSize)), n: objects.PartSize + 10, call: func() { cancel(stopping) }}
	_, err := s.Put(ctx, "k", src, -1, 0)
	wantErr(t, "Put with a cancelled context", err, stopping)
	wantNothing(t, s, "k")
}

// A peer that hangs must not hold Put once its context ends.
func testBlockedSource(t *testing.T, s objects.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	go func() {
		pw.Write(Bytes(objects.PartSize + 10))
		cancel()
	}()
	_, err := s.Put(ctx, "k", pr, -1, 0)
	wantErr(t, "Put from a blocked source", err, context.Canceled)
	pr.Close()
	wantNothing(t, s, "k")
}

func testFailedReplaceKeepsOld(t *testing.T, s objects.Store) {
	put(t, s, "k", []byte("old"), -1)
	for _, n := range []int{10, objects.PartSize + 10} {
		cut := io.MultiReader(bytes.NewReader(Bytes(n)), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := s.Put(t.Context(), "k", cut, -1, 0); err == nil {
			t.Error("Put of a cut source = nil, want an error")
		}
		if got, _ := get(t, s, "k", 0, -1); string(got) != "old" {
			t.Errorf("Get after a failed Put = %d bytes, want the old content", len(got))
		}
	}
	wantNoUploads(t, s)
}

func testEnsureBucketTwice(t *testing.T, s objects.Store) {
	for range 2 {
		if err := s.EnsureBucket(t.Context()); err != nil {
			t.Errorf("EnsureBucket = %v", err)
		}
	}
	if exists, err := s.BucketExists(t.Context()); err != nil || !exists {
		t.Errorf("BucketExists = %v, %v, want true", exists, err)
	}
}

func testVerify(t *testing.T, s objects.Store) {
	content := []byte(strings.Repeat("content", 1000))
	info := put(t, s, "k", content, -1)
	for name, want := range map[string]struct {
		sum  string
		size int64
		err  error
	}{
		"same":      {info.SHA256, info.Size, nil},
		"no size":   {info.SHA256, -1, nil},
		"other sum": {Sum([]byte("other")), info.Size, objects.ErrCorrupt},
		"longer":    {info.SHA256, info.Size + 1, objects.ErrCorrupt},
		"shorter":   {info.SHA256, info.Size - 1, objects.ErrCorrupt},
		"empty sum": {"", info.Size, objects.ErrCorrupt},
	} {
		rc, _, err := s.Get(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatalf("Get = %v", err)
		}
		_, err = io.Copy(io.Discard, objects.Verify(rc, want.sum, want.size))
		rc.Close()
		if !errors.Is(err, want.err) {
			t.Errorf("%s: read = %v, want %v", name, err, want.err)
		}
	}
}
