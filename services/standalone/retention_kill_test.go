package standalone_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// remainingObjects counts the files of the bucket while some of them are being deleted.
func remainingObjects(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "objects", "objects", "freeagent"), func(path string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && d.Type().IsRegular() && !strings.Contains(path, ".sgwtmp"):
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSweepIsKilled kills the server again and again while builds expire. The end is the same as without: nothing is left.
func TestSweepIsKilled(t *testing.T) {
	t.Parallel()
	f := &farm{t: t, dir: t.TempDir(), port: freePort(t)}
	f.env = []string{
		"FREEAGENT_RETENTION_NOTICE=0s", "FREEAGENT_RETENTION_MIN_AGE=0s", "FREEAGENT_RETENTION_TRACE=0s", "FREEAGENT_RETENTION_INTERVAL=50ms",
	}
	f.up()
	worker := f.worker("mac", "size=100KiB")
	f.buildMany(60)
	worker.stop()
	objects := remainingObjects(t, f.dir)
	if _, err := f.client().Retention.Set(t.Context(), "", api.RetentionPolicy{MaxAgeSeconds: 1}); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for left := objects; left > 0; kills++ {
		f.eventually("a few more objects are gone", func() bool { n := remainingObjects(t, f.dir); return n == 0 || n < left-8 })
		f.kill()
		left = remainingObjects(t, f.dir)
		f.up()
	}
	f.eventually("every trace is gone", func() bool {
		got, err := f.client().Retention.Get(t.Context())
		return err == nil && got.Expired == 0 && remainingObjects(t, f.dir) == 0
	})
	t.Logf("%d objects went in %d kills", objects, kills)
	if kills < 2 {
		t.Errorf("only %d kills hit the sweep", kills)
	}
	f.stop()
	if left := messagesOfBuilds(t, f.dir); len(left) != 0 {
		t.Errorf("messages are left: %v", left)
	}
	counts := rowCounts(t, f.dir)
	for _, table := range []string{
		"scheduler.builds", "scheduler.attempts", "scheduler.expired_builds", "scheduler.outbox", "artifact.objects", "artifact.small_objects",
		"monitor.samples", "monitor.leases", "ingest.webhook_deliveries", "ingest.idempotency",
	} {
		if n, ok := counts[table]; n != 0 || !ok {
			t.Errorf("%d rows of %s are left (of %v)", n, table, slices.Sorted(maps.Keys(counts)))
		}
	}
}

// buildMany builds n apps with large sources, some at a time.
func (f *farm) buildMany(n int) {
	f.t.Helper()
	noise := make([]byte, 100<<10)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(noise)
	source := packed(f.t, map[string]string{"noise.bin": string(noise)}).Bytes()
	ids := make([]string, n)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			sub, err := f.client().Builds.Submit(f.t.Context(), api.Submit{Platform: "android", Source: bytes.NewReader(source)})
			if err != nil {
				f.t.Error(err)
				return
			}
			ids[i] = sub.ID
		})
	}
	all.Wait()
	for _, id := range ids {
		f.becomes(id, "build "+id+" ends", api.Build.Final)
	}
}

// TestRetentionCommands are what an administrator types.
func TestRetentionCommands(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	command := func(args ...string) string {
		t.Helper()
		p := run(t, []string{"FREEAGENT_API_KEY=" + farmKey, "FREEAGENT_URL=" + f.url()}, args...)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		select {
		case err := <-p.done:
			p.done <- err
			if err != nil {
				t.Errorf("%v: %v\n%s", args, err, p.out)
			}
		case <-ctx.Done():
			t.Fatalf("%v does not end", args)
		}
		return p.out.String()
	}
	for _, step := range []struct{ command, want string }{
		{"retention show", "the farm   90d"}, {"retention show", "A retention policy takes effect at"}, {"retention plan", "Nothing would expire."},
		{"retention set --age 30d --keep-last", "Nothing changed"}, {"retention show", "90d"},
		{"retention set --age 30d --keep-last --yes", "the farm   30d"}, {"retention set --project shop --builds 5 --yes", "shop       -    5"},
		{"retention unset --project shop --yes", "the farm   30d"}, {"retention unset --yes", "No retention policy: every build is kept."},
	} {
		if got := command(strings.Fields(step.command)...); !strings.Contains(got, step.want) {
			t.Errorf("freeagent %s says\n%s\nwant %q in it", step.command, got, step.want)
		}
	}
	f.worker("mac", "")
	id := f.submit()
	f.completedOnce(id)
	command("pin", id, "--note", "release 1.0")
	if got := command("status", id); !strings.Contains(got, "release 1.0") {
		t.Errorf("status says %s, want the pin", got)
	}
	command("unpin", id)
}
