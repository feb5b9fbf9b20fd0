package standalone_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// smallDisk mounts a disk of so many megabytes until the test ends.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	return mountDisk(t, fmt.Sprintf("size=%dm", megabytes))
}

// mountDisk mounts a disk with the options of a tmpfs until the test ends.
func mountDisk(t *testing.T, options string) string {
	t.Helper()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, options); err != nil {
		t.Skipf("a small disk can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return disk
}

// TestDiskFull runs a server on a disk of 700 MB, 512 MiB of which are reserved. An upload that does not fit is refused with the cause and
// leaves nothing; a small one is accepted afterwards.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 700)
	f := &farm{t: t, dir: disk, port: freePort(t)}
	f.up()
	_, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: bigZip(400 << 20)})
	if !errors.Is(err, build.ErrNoSpace) || !strings.Contains(err.Error(), "free") {
		t.Errorf("submit to a full disk = %v, want no space, saying so", err)
	}
	if list, err := f.client().Builds.List(t.Context(), api.ListOptions{}); err != nil || len(list.Builds) != 0 {
		t.Errorf("builds = %+v, %v, want none", list.Builds, err)
	}
	if found := visibleObjects(t, disk); len(found) != 0 {
		t.Errorf("objects = %v, want none", found)
	}
	f.worker("w", "")
	f.completedOnce(f.submit())
	f.stop()
}

// filler takes all the space of a disk, and keeps it taken although what lies there shrinks now and then.
type filler struct {
	t    *testing.T
	path string
}

func (d filler) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d filler) free() {
	d.t.Helper()
	if err := os.Remove(d.path); err != nil {
		d.t.Fatal(err)
	}
}

// TestBuildsGoOnAfterAFullDisk fills the disk while builds run and are submitted. The server says that it is not ready; once there is space
// again, it is ready without a restart, each acknowledged build ends, and each log can be read.
func TestBuildsGoOnAfterAFullDisk(t *testing.T) {
	t.Parallel()
	t.Run("by itself", func(t *testing.T) {
		t.Parallel()
		fullDisk(t, func(f *farm, free func()) { free() })
	})
	t.Run("killed while it is full", func(t *testing.T) {
		t.Parallel()
		fullDisk(t, func(f *farm, free func()) {
			f.kill()
			free()
			f.up()
		})
	})
}

func fullDisk(t *testing.T, end func(f *farm, free func())) {
	t.Helper()
	disk := smallDisk(t, 700)
	f := &farm{t: t, dir: filepath.Join(disk, "data"), port: freePort(t), flags: []string{"--heartbeat-timeouts", "all=5s"}}
	f.up()
	for i := range 3 {
		f.worker(fmt.Sprintf("w%d", i), "slow=300ms,lines=400")
	}
	var ids []string
	submit := func() error {
		c, err := api.New(api.Config{BaseURL: f.url(), Key: farmKey, RetryFor: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		sub, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: project(t)})
		if err == nil {
			ids = append(ids, sub.ID)
		}
		return err
	}
	for range 12 {
		if err := submit(); err != nil {
			t.Fatal(err)
		}
	}
	f.becomes(ids[1], "a build runs", func(b api.Build) bool { return b.Status != "pending" && b.Status != "queued" })
	space := filler{t, filepath.Join(disk, "filler")}
	refused, unready := 0, 0
	for full := time.Now().Add(15 * time.Second); time.Now().Before(full); {
		space.fill()
		if submit() != nil {
			refused++
		}
		if status, _ := f.get("/readyz"); status != http.StatusOK {
			unready++
		}
		if text := strings.Join(f.problems(), " "); !strings.Contains(text, "disk is full") {
			t.Errorf("/health on a full disk: %q", text)
		}
		<-time.After(50 * time.Millisecond) // the length of the outage is what is tried
	}
	if refused == 0 || unready == 0 {
		t.Errorf("on a full disk %d submits were refused and %d probes, want some of each", refused, unready)
	}
	end(f, space.free)
	freed := time.Now()
	f.eventually("the server is ready again", func() bool { status, _ := f.get("/readyz"); return status == http.StatusOK })
	t.Logf("ready %s after there was space; %d submits and %d probes were refused", time.Since(freed).Round(time.Millisecond), refused, unready)
	f.eventually("no problem is left", func() bool { return len(f.problems()) == 0 })
	f.eventually("a submit is taken", func() bool { return submit() == nil })
	for _, id := range ids {
		b := f.becomes(id, "build "+id+" ends", api.Build.Final)
		if b.Status != "completed" && !strings.Contains(b.Error, "lost") {
			t.Errorf("build %s is %s: %s", id, b.Status, b.Error)
		}
	}
	f.logsEnd(ids)
	for _, id := range ids {
		f.becomes(id, "the log of "+id+" is archived", func(b api.Build) bool { return b.Log != nil && b.Log.ArchivedAt != "" })
	}
	t.Logf("all %d builds ended and their logs were read %s after there was space", len(ids), time.Since(freed).Round(time.Millisecond))
	f.worker("late", "")
	f.completedOnce(f.submit())
}

// logsEnd reads each log to its end.
func (f *farm) logsEnd(ids []string) {
	f.t.Helper()
	for _, id := range ids {
		done := make(chan error, 1)
		go func() {
			_, err := f.client().Builds.FollowLog(f.t.Context(), id, func(api.LogLine) error { return nil })
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				f.t.Errorf("log of %s: %v", id, err)
			}
		case <-time.After(30 * time.Second):
			f.t.Errorf("the log of %s hangs", id)
		}
	}
}

// TestReadOnlyDatabaseIsRefused: a database that can be read and not written is no farm that is up.
func TestReadOnlyDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.stop()
	path := filepath.Join(f.dir, "scheduler.db")
	err := syscall.Mount(path, path, "", syscall.MS_BIND, "")
	if err != nil {
		t.Skipf("a file can only be made read-only for root by root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the database: %v", err)
		}
	})
	if err := syscall.Mount("", path, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if said := refuses(t, f.dir); !strings.Contains(said, "scheduler") || !strings.Contains(said, "read-only") {
		t.Errorf("up said %q, want the database and the cause", said)
	}
}

// TestNoInodesIsAFullDisk: a file system with bytes and no inodes left takes no builds and says so, and takes them again afterwards.
func TestNoInodesIsAFullDisk(t *testing.T) {
	t.Parallel()
	disk := mountDisk(t, "size=900m,nr_inodes=400")
	f := &farm{t: t, dir: filepath.Join(disk, "data"), port: freePort(t)}
	f.up()
	c, err := api.New(api.Config{BaseURL: f.url(), Key: farmKey, RetryFor: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	fillers := filepath.Join(disk, "fillers")
	err = os.Mkdir(fillers, 0o700)
	for i := 0; err == nil; i++ {
		err = os.WriteFile(filepath.Join(fillers, fmt.Sprint(i)), nil, 0o600)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for _, source := range []*bytes.Buffer{largeProject(t), project(t)} {
		_, err = c.Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: source})
		if !errors.Is(err, build.ErrNoSpace) || !strings.Contains(err.Error(), "inodes") {
			t.Errorf("submit without inodes = %v, want no space, saying why", err)
		}
	}
	if status, _ := f.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %d, want 503", status)
	}
	if text := strings.Join(f.problems(), " "); !strings.Contains(text, "inodes") {
		t.Errorf("/health says %q, want the cause", text)
	}
	if err := os.RemoveAll(fillers); err != nil {
		t.Fatal(err)
	}
	f.eventually("the server is ready again", func() bool { status, _ := f.get("/readyz"); return status == http.StatusOK })
	f.eventually("no problem is left", func() bool { return len(f.problems()) == 0 })
	if _, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: largeProject(t)}); err != nil {
		t.Errorf("submit afterwards: %v", err)
	}
	f.stop()
}

// TestFullDiskIsSaid: a change on a full disk is refused at once with the cause.
func TestFullDiskIsSaid(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 700)
	f := &farm{t: t, dir: filepath.Join(disk, "data"), port: freePort(t)}
	f.up()
	f.submit()
	space := filler{t, filepath.Join(disk, "filler")}
	weight := 0
	for what, change := range map[string]func() error{
		"submit": func() error {
			_, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: project(t)})
			return err
		},
		"rules": func() error {
			weight++
			_, err := f.client().Rules.SetProject(t.Context(), fmt.Sprintf("shop%d", weight), api.ProjectRule{Weight: 2})
			return err
		},
		"variable": func() error { // each adds rows; a change of a row may find room in files that are there for ever
			weight++
			_, err := f.client().Variables.Set(t.Context(), fmt.Sprintf("shop%d", weight), api.NewVariable{
				Name: "NOTE", Environments: []string{"production"}, Value: strings.Repeat("note", 2000),
			})
			return err
		},
	} {
		var err error
		began := time.Now()
		f.eventually(what+" is refused", func() bool { // until then it finds room in files that are there already
			space.fill()
			began = time.Now()
			err = change()
			return err != nil
		})
		if took := time.Since(began); !errors.Is(err, build.ErrNoSpace) || !strings.Contains(err.Error(), "full") && !strings.Contains(err.Error(), "free") || took > 5*time.Second {
			t.Errorf("%s on a full disk = %v after %s, want it to be no space, to say so and at once", what, err, took)
		}
	}
	space.free()
	f.eventually("a submit is taken again", func() bool {
		_, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: project(t)})
		return err == nil
	})
	f.stop()
}
