package embeds3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/embeds3"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	sideCarDir := t.TempDir()
	if err := os.Mkdir(filepath.Join(sideCarDir, "attributes"), 0o700); err != nil {
		t.Fatal(err)
	}
	sideCar := startChild(t, sideCarDir, "")
	objectstest.Each(t, map[string]objectstest.Opener{
		"extended attributes": func(t *testing.T) objects.Store {
			return openStore(t, shared.Endpoint(), shared.AccessKey(), shared.SecretKey(), "", shared.Sync)
		},
		"side-car": func(t *testing.T) objects.Store {
			return openStore(t, sideCar.Endpoint, sideCar.AccessKey, sideCar.SecretKey, "", nil)
		},
		"slow": func(t *testing.T) objects.Store {
			s := openStore(t, shared.Endpoint(), shared.AccessKey(), shared.SecretKey(), "", nil)
			return objectstest.WithDelay(s, time.Millisecond)
		},
	})
}

func TestStartsFastQuietAndStopsClean(t *testing.T) {
	t.Parallel()
	c := startChild(t, t.TempDir(), "")
	store := c.store("")
	if _, err := store.Put(t.Context(), "k", bytes.NewReader(objectstest.Bytes(objects.PartSize+1)), -1, 0); err != nil {
		t.Fatalf("Put = %v", err)
	}
	// A cut request is what makes a server complain aloud.
	_, err := store.Put(t.Context(), "cut", io.MultiReader(bytes.NewReader(objectstest.Bytes(100)), &failing{}), 200, 0)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Put of a cut source = %v", err)
	}
	store.Close()
	bye := c.stop()
	if bye.Error != "" || bye.Goroutines != "" {
		t.Errorf("Close = %q, goroutines left: %s", bye.Error, bye.Goroutines)
	}
	t.Logf("started in %v, peak RSS %d MB", c.Took, bye.PeakRSS>>20)
	if c.Took > 2*time.Second { // aim 300 ms; generous for a loaded machine
		t.Errorf("Start took %v", c.Took)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	_, err := embeds3.Start(t.Context(), embeds3.Config{Dir: t.TempDir()})
	if !errors.Is(err, embeds3.ErrRunning) {
		t.Errorf("second Start = %v, want ErrRunning", err)
	}
}

func TestBadAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, addr := range []string{taken.Addr().String(), "0.0.0.0:0", "example.com:80", "nonsense"} {
		c := startChild(t, t.TempDir(), addr)
		if !c.Refused {
			t.Errorf("Start on %s = %q, want ErrAddress", addr, c.Error)
		}
	}
}

func TestUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := startChild(t, file, ""); !strings.Contains(c.Error, "directory") {
		t.Errorf("Start in a file = %q, want an error that names the directory", c.Error)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	store := openStore(t, shared.Endpoint(), shared.AccessKey(), shared.SecretKey(), "sync", shared.Sync)
	if _, err := store.Put(t.Context(), "p/b/1/source", strings.NewReader("content"), -1, 0); err != nil {
		t.Fatalf("Put = %v", err)
	}
	if err := shared.Sync("sync", "p/b/1/source"); err != nil {
		t.Errorf("Sync = %v", err)
	}
	if err := shared.Sync("sync", "p/b/1/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sync of a missing object = %v, want ErrNotExist", err)
	}
	if err := shared.Sync("sync", "../../../etc/passwd"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sync outside the store = %v, want a refusal", err)
	}
}

func TestFailedSyncLeavesNothing(t *testing.T) {
	t.Parallel()
	full := errors.New("disk is gone")
	store := openStore(t, shared.Endpoint(), shared.AccessKey(), shared.SecretKey(), "", func(_, _ string) error { return full })
	for _, n := range []int{10, objects.PartSize + 10} {
		if _, err := store.Put(t.Context(), "k", bytes.NewReader(objectstest.Bytes(n)), -1, 0); !errors.Is(err, full) {
			t.Errorf("Put = %v, want the sync's error", err)
		}
		if _, err := store.Stat(t.Context(), "k"); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("Stat = %v, want ErrNotFound", err)
		}
	}
}

func TestWrongSecretIsRefusedAndNotTold(t *testing.T) {
	t.Parallel()
	const secret = "not-the-right-secret"
	store, err := objects.New(objects.Config{Endpoint: shared.Endpoint(), AccessKey: shared.AccessKey(), SecretKey: secret, Bucket: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	err = store.EnsureBucket(t.Context())
	if err == nil || !strings.Contains(err.Error(), shared.Endpoint()) || strings.Contains(err.Error(), secret) {
		t.Errorf("EnsureBucket = %v, want an error that names the endpoint and no secret", err)
	}
}

// killAt kills the child once n bytes were read.
type killAt struct {
	r io.Reader
	n int
	c *child
}

func (k *killAt) Read(b []byte) (int, error) {
	n, err := k.r.Read(b)
	if k.n > 0 && k.n <= n {
		k.c.kill()
	}
	k.n -= n
	return n, err
}

func TestKillDuringMultipartPut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startChild(t, dir, "")
	store := c.store("bucket")
	if _, err := store.Put(t.Context(), "k", strings.NewReader("old"), -1, 0); err != nil {
		t.Fatalf("Put = %v", err)
	}
	src := &killAt{r: bytes.NewReader(objectstest.Bytes(4 * objects.PartSize)), n: 2*objects.PartSize + 10, c: c}
	if _, err := store.Put(t.Context(), "k", src, -1, 0); err == nil {
		t.Fatal("Put into a killed server = nil, want an error")
	}
	store = wantOldOnly(t, dir)
	if n, err := store.AbortStale(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("AbortStale(1h) = %d, %v, want 0: the upload is fresh", n, err)
	}
	if n, err := store.AbortStale(t.Context(), -time.Minute); n != 1 || err != nil {
		t.Errorf("AbortStale(now) = %d, %v, want 1", n, err)
	}
	if diff := cmp.Diff([]string{"bucket/k"}, files(t, filepath.Join(dir, "objects"))); diff != "" {
		t.Errorf("files after AbortStale (-want +got):\n%s", diff)
	}
}

func TestKillDuringSinglePut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startChild(t, dir, "")
	if _, err := c.store("bucket").Put(t.Context(), "k", strings.NewReader("old"), -1, 0); err != nil {
		t.Fatalf("Put = %v", err)
	}
	raw, err := minio.New(c.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""), Region: embeds3.Region, MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	const size = 20 << 20
	src := &killAt{r: bytes.NewReader(objectstest.Bytes(size)), n: 15 << 20, c: c}
	if _, err := raw.PutObject(t.Context(), "bucket", "k", src, size, minio.PutObjectOptions{DisableMultipart: true}); err == nil {
		t.Fatal("PutObject into a killed server = nil, want an error")
	}
	wantOldOnly(t, dir)
}

// wantOldOnly restarts the endpoint and checks that the old object is whole
// and the only one.
func wantOldOnly(t *testing.T, dir string) *objects.S3 {
	t.Helper()
	store := startChild(t, dir, "").store("bucket")
	rc, _, err := store.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatalf("Get after the restart = %v", err)
	}
	defer rc.Close()
	if got, err := io.ReadAll(rc); string(got) != "old" || err != nil {
		t.Errorf("content after the restart = %d bytes, %v, want the old one", len(got), err)
	}
	for info, err := range store.List(t.Context(), "") {
		if err != nil || info.Key != "k" {
			t.Errorf("List yields %q, %v, want only k", info.Key, err)
		}
	}
	return store
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	c := startChild(t, t.TempDir(), "")
	store := c.store("")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() { _, err := store.Put(ctx, "k", pr, -1, 0); done <- err }()
	if _, err := pw.Write(objectstest.Bytes(objects.PartSize)); err != nil {
		t.Fatal(err)
	}
	c.busy = true
	if bye := c.stop(); bye.Error != "" {
		t.Errorf("Close during a put = %q", bye.Error)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("Put into a stopped server = nil, want an error")
	}
}
