package artifact_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const someKey = "0123456789abcdef01234567"

// attemptOf makes a build of a project and branch that worker w1 holds, and returns its id.
func (f *farm) attemptOf(project, branch string) string {
	id := build.NewID()
	f.scheduler.set(&schedulerv1.Build{Id: id, Project: project, Attempt: 1, Origin: &schedulerv1.Origin{Branch: branch}}, "w1")
	return id
}

// askCache asks about an entry for an attempt; without data it is to be read.
func (f *farm) askCache(buildID string, change func(*artifactv1.WorkerGrantRequest)) (*artifactv1.WorkerGrantResponse, error) {
	req := &artifactv1.WorkerGrantRequest{BuildId: buildID, Attempt: 1, Kind: artifactv1.Kind_KIND_CACHE, CacheName: "install", CacheKey: someKey}
	if change != nil {
		change(req)
	}
	resp := &artifactv1.WorkerGrantResponse{}
	return resp, rpc.Call(f.t.Context(), f.conn, bus.WorkerRequestSubject("artifact", "grant", "w1"), req, resp)
}

// putCache writes an entry as an attempt.
func (f *farm) putCache(buildID, key string, data []byte) error {
	f.t.Helper()
	resp, err := f.askCache(buildID, func(r *artifactv1.WorkerGrantRequest) {
		r.CacheWrite, r.CacheKey, r.Size, r.Sha256 = true, key, int64(len(data)), sum(data)
	})
	if err != nil {
		return err
	}
	if a := f.put(resp.GetGrant(), data); a.status != http.StatusOK {
		f.t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	return nil
}

// readCache returns what an attempt reads under a key; "" for a miss.
func (f *farm) readCache(buildID, key string) string {
	f.t.Helper()
	resp, err := f.askCache(buildID, func(r *artifactv1.WorkerGrantRequest) { r.CacheKey = key })
	if err != nil {
		f.t.Fatal(err)
	}
	if !resp.GetCache().GetPresent() {
		return ""
	}
	a := f.get(resp.GetGrant())
	if a.status != http.StatusOK {
		f.t.Fatalf("GET = %d %s", a.status, a.body)
	}
	return string(a.body[:min(len(a.body), 40)])
}

func withCache(mebibytes int64) option {
	return option{config: func(c *artifact.Config) {
		c.CacheBytes, c.MaxCacheEntryBytes, c.CacheTrusted = mebibytes<<20, mebibytes<<19, []string{"main", "release/*"}
	}}
}

// TestCacheScopes: attempt × scope × read and write. A pull request reads the trusted entries and its own, and what it writes nobody else reads.
func TestCacheScopes(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		o := withCache(10)
		o.db = open(t)
		f := setup(t, o)
		type who struct{ project, branch string }
		all := []who{{"shop", "main"}, {"shop", "release/1"}, {"shop", "pr-1"}, {"shop", "pr-2"}, {"shop", ""}, {"other", "main"}, {"other", "pr-1"}, {"shop", "trusted"}}
		for i, writer := range all {
			key := fmt.Sprintf("%024x", i)
			by := writer.project + " " + writer.branch
			if err := f.putCache(f.attemptOf(writer.project, writer.branch), key, []byte(by)); err != nil {
				t.Fatal(err)
			}
			for _, reader := range all {
				trusted := writer.branch == "main" || writer.branch == "release/1"
				want := ""
				if writer.project == reader.project && (trusted || writer.branch == reader.branch) {
					want = by
				}
				if got := f.readCache(f.attemptOf(reader.project, reader.branch), key); got != want {
					t.Errorf("%v reads %q of what %v has written, want %q", reader, got, writer, want)
				}
			}
		}
		// Over the same key: the pull request's entry is its own, and main's stays.
		for _, w := range []who{{"shop", "main"}, {"shop", "pr-1"}} {
			if err := f.putCache(f.attemptOf(w.project, w.branch), someKey, append([]byte(w.branch), make([]byte, 100_000)...)); err != nil {
				t.Fatal(err)
			}
		}
		for branch, want := range map[string]string{"main": "main", "release/1": "main", "pr-1": "pr-1", "pr-2": "main"} {
			if got := f.readCache(f.attemptOf("shop", branch), someKey); !strings.HasPrefix(got, want+"\x00") {
				t.Errorf("%s reads %q, want what %s has written", branch, got, want)
			}
			resp, err := f.askCache(f.attemptOf("shop", branch), nil)
			if err != nil || resp.GetCache().GetTrusted() != (branch == "pr-2") {
				t.Errorf("%s: %v, %v", branch, resp.GetCache(), err)
			}
			resp, err = f.askCache(f.attemptOf("shop", branch), func(r *artifactv1.WorkerGrantRequest) { r.CacheWrite = true })
			if err != nil || resp.GetGrant() != nil || resp.GetCache().GetPresent() != (branch != "pr-2") {
				t.Errorf("%s asks whether it has the entry: %v, %v", branch, resp, err)
			}
		}
	})
}

// TestCacheRefuses: only the holder of a lease asks, and only for what it is.
func TestCacheRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, withCache(10))
	id := f.attemptOf("shop", "main")
	for name, c := range map[string]struct {
		change func(*artifactv1.WorkerGrantRequest)
		want   error
	}{
		"a past attempt":    {func(r *artifactv1.WorkerGrantRequest) { r.Attempt = 2 }, build.ErrLeaseLost},
		"no name":           {func(r *artifactv1.WorkerGrantRequest) { r.CacheName = "" }, build.ErrInvalid},
		"a path for a name": {func(r *artifactv1.WorkerGrantRequest) { r.CacheName = "../x" }, build.ErrInvalid},
		"a path for a key":  {func(r *artifactv1.WorkerGrantRequest) { r.CacheKey = "../../0123456789abcdef" }, build.ErrInvalid},
		"no sum":            {func(r *artifactv1.WorkerGrantRequest) { r.CacheWrite, r.Size = true, 10 }, build.ErrInvalid},
		"too large":         {func(r *artifactv1.WorkerGrantRequest) { r.CacheWrite, r.Size, r.Sha256 = true, 6<<20, sum(nil) }, build.ErrTooLarge},
	} {
		_, err := f.askCache(id, c.change)
		t.Run(name, func(t *testing.T) { wantIs(t, err, c.want) })
	}
	for name, id := range map[string]string{"a build of no project": f.attemptOf("", "main")} {
		if resp, err := f.askCache(id, nil); err != nil || resp.GetCache().GetEnabled() {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	off := setup(t)
	if resp, err := off.askCache(off.attemptOf("shop", "main"), nil); err != nil || resp.GetCache() == nil || resp.GetCache().GetEnabled() {
		t.Errorf("without a cache: %v, %v", resp, err)
	}
}

// TestCacheBound: the least recently used entries make room, also for uploads that run at once, and all go with the setting.
func TestCacheBound(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		o := withCache(4)
		o.db = open(t)
		f := setup(t, o)
		id := f.attemptOf("shop", "main")
		stored := func() (n int64) {
			if err := f.db.Read().QueryRowContext(t.Context(), "SELECT coalesce(sum(size), 0) FROM objects").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		key := func(i int) string { return fmt.Sprintf("%024x", i) }
		const puts = 7
		for i := range puts {
			if err := f.putCache(id, key(i), noise(1<<20)); err != nil {
				t.Fatal(err)
			}
			f.sqlExec("UPDATE cache_entries SET used_ms = used_ms - 3600000") // an hour later
			if n := stored(); n > 4<<20 {
				t.Fatalf("%d bytes are stored", n)
			}
			if i == 3 && f.readCache(id, key(0)) == "" { // used now
				t.Error("the first entry is gone already")
			}
		}
		for i := range puts {
			if got, want := f.readCache(id, key(i)) != "", i >= 4 || i == 0; got != want {
				t.Errorf("entry %d is there: %v, want %v", i, got, want)
			}
		}
		f.expire() // as after an hour: the janitor keeps what entries name
		f.eventually("the entries are kept", func() bool {
			var n int
			return f.db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM objects WHERE state = 'kept'").Scan(&n) == nil && n >= 3
		})
		f.sqlExec("DELETE FROM objects WHERE id = (SELECT object_id FROM cache_entries ORDER BY object_id LIMIT 1)") // a crash
		f.eventually("the entry without an object is gone", func() bool {
			var n int
			return f.db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM cache_entries e WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = e.object_id)").Scan(&n) == nil && n == 0
		})
	})
}

// TestCacheIsTurnedOff: with the setting, all entries go.
func TestCacheIsTurnedOff(t *testing.T) {
	t.Parallel()
	f := setup(t, withCache(4))
	if err := f.putCache(f.attemptOf("shop", "main"), someKey, noise(1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.cfg.CacheBytes = 0
	f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.bus.Connect("second"), Log: f.slog()})
	f.nothingLeft()
}

// TestCacheEntryThatNeverArrives: an upload that was granted and not sent is asked for again later, and leaves nothing. A damaged entry is replaced.
func TestCacheEntryThatNeverArrives(t *testing.T) {
	t.Parallel()
	f := setup(t, withCache(10))
	id := f.attemptOf("shop", "main")
	data := noise(1 << 20)
	write := func(r *artifactv1.WorkerGrantRequest) {
		r.CacheWrite, r.Size, r.Sha256 = true, int64(len(data)), sum(data)
	}
	probe := func(r *artifactv1.WorkerGrantRequest) { r.CacheWrite = true }
	if _, err := f.askCache(id, write); err != nil {
		t.Fatal(err)
	}
	if resp, err := f.askCache(id, probe); err != nil || !resp.GetCache().GetPresent() {
		t.Errorf("while it arrives: %v, %v", resp, err)
	}
	if got := f.readCache(id, someKey); got != "" {
		t.Errorf("read %q of what has not arrived", got)
	}
	f.sqlExec("UPDATE objects SET created_ms = created_ms - $1", time.Hour.Milliseconds())
	if resp, err := f.askCache(id, probe); err != nil || resp.GetCache().GetPresent() {
		t.Errorf("an hour later: %v, %v", resp, err)
	}
	f.expire()
	f.nothingLeft()
	if err := f.putCache(id, someKey, data); err != nil {
		t.Fatal(err)
	}
	for _, key := range f.keys() {
		if _, err := f.store.Put(t.Context(), key, bytes.NewReader(noise(1 << 20)[:1<<20-1]), 1<<20-1, 0); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := f.askCache(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := f.get(resp.GetGrant()); a.status == http.StatusOK && a.err == nil && bytes.Equal(a.body, data) {
		t.Error("the entry is not damaged")
	}
	if err := f.putCache(id, someKey, data); err != nil {
		t.Fatal(err)
	}
	if got := f.readCache(id, someKey); got != string(data[:40]) {
		t.Error("the damaged entry was not replaced")
	}
}
