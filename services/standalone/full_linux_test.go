package standalone_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestDiskFull runs a server on a disk of 700 MB, of which 512 MiB are held back so that everything else goes on: an upload
// that does not fit is refused with the cause, leaves nothing, and a small one is taken afterwards.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=700m"); err != nil {
		t.Skipf("a small disk can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	f := &farm{t: t, dir: disk, port: freePort(t)}
	f.up()
	_, err := f.client().Submit(t.Context(), api.Submit{Platform: "ios", Source: bigZip(400 << 20)})
	if !errors.Is(err, build.ErrNoSpace) || !strings.Contains(err.Error(), "free") {
		t.Errorf("submit to a full disk = %v, want no space, saying so", err)
	}
	if list, err := f.client().Builds(t.Context(), api.ListOptions{}); err != nil || len(list.Builds) != 0 {
		t.Errorf("builds = %+v, %v, want none", list.Builds, err)
	}
	if found := visibleObjects(t, disk); len(found) != 0 {
		t.Errorf("objects = %v, want none", found)
	}
	f.worker("w", "")
	f.completedOnce(f.submit())
	f.stop()
}
