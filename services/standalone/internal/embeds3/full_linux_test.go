package embeds3_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/embeds3"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

// A disk of 20 MB is full after two parts; after that the endpoint is alive
// and nothing of the upload is left.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=20m"); err != nil {
		t.Skipf("a small disk can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	store := startChild(t, disk, "").store("bucket")
	_, err := store.Put(t.Context(), "big", bytes.NewReader(objectstest.Bytes(4*objects.PartSize)), -1, 0)
	if !errors.Is(err, objects.ErrNoSpace) {
		t.Errorf("Put onto a full disk = %v, want ErrNoSpace", err)
	}
	if n, err := store.AbortStale(t.Context(), -time.Minute); n != 0 || err != nil {
		t.Errorf("AbortStale = %d, %v, want 0 uploads left", n, err)
	}
	if _, err := store.Put(t.Context(), "small", strings.NewReader("fits"), -1, 0); err != nil {
		t.Errorf("Put after the full disk = %v", err)
	}
	if diff := cmp.Diff([]string{"bucket/small"}, files(t, filepath.Join(disk, "objects"))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// Bytes damaged on the way in are refused: the endpoint checks the signed digest.
func TestDamagedBodyIsRefused(t *testing.T) {
	t.Parallel()
	store := openStore(t, shared.Endpoint(), shared.AccessKey(), shared.SecretKey(), "damaged", nil)
	core, err := minio.NewCore(shared.Endpoint(), &minio.Options{Creds: credentials.NewStaticV4(shared.AccessKey(), shared.SecretKey(), ""), Region: embeds3.Region})
	if err != nil {
		t.Fatal(err)
	}
	opts := minio.PutObjectOptions{DisableContentSha256: true}
	_, err = core.PutObject(t.Context(), "damaged", "k", strings.NewReader("damaged"), 7, "", objectstest.Sum([]byte("genuine")), opts)
	if err == nil {
		t.Error("PutObject of damaged bytes = nil, want an error")
	}
	if _, err := store.Stat(t.Context(), "k"); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("Stat = %v, want ErrNotFound", err)
	}
}
