package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

func (f *farm) expireBuilds(ids ...string) (*artifactv1.ExpireBuildsResponse, error) {
	f.t.Helper()
	var resp artifactv1.ExpireBuildsResponse
	return &resp, f.call("expire_builds", &artifactv1.ExpireBuildsRequest{BuildIds: ids}, &resp)
}

// expired expires and wants no error.
func (f *farm) expired(ids ...string) *artifactv1.ExpireBuildsResponse {
	f.t.Helper()
	resp, err := f.expireBuilds(ids...)
	if err != nil {
		f.t.Fatalf("expire_builds: %v", err)
	}
	return resp
}

func (f *farm) logRows() (n int) {
	f.t.Helper()
	if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT count(*) FROM build_logs").Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// TestExpireLeavesNothing: whatever there is of a build goes, and nothing of another.
func TestExpireLeavesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { quick(c); c.ExpiredMark = 50 * time.Millisecond }})
	f.stored("other", source, zipOf(t, "package.json", large()))
	before, rows := len(f.keys()), f.rows()
	f.stored("b1", source, zipOf(t, "package.json", large()))
	f.stored("b1", certs, []byte("certificates"))
	f.stored("b1", result, large())
	f.stored("b1", result, []byte("small"))
	f.stored("b1", artifacts, large())
	f.grantUpload("b1", result) // asked for, and nothing sent
	f.sayWhole("b1")
	f.ends("b1", 0)
	f.eventually("the log is archived", func() bool { return f.log0("b1").GetObject() != nil })
	var stored artifactv1.MeasureBuildsResponse
	if err := f.call("measure_builds", &artifactv1.MeasureBuildsRequest{BuildIds: []string{"b1", "unknown"}}, &stored); err != nil {
		t.Fatal(err)
	}
	resp := f.expired("b1", "unknown")
	if resp.GetBytes() != stored.GetBytes() || stored.GetBytes() < 2*int64(len(large())) || resp.GetObjects() != stored.GetObjects()+1 {
		t.Errorf("measured %v, deleted %v", &stored, resp)
	}
	if len(f.keys()) != before || f.rows() != rows || f.small() != 0 || f.inStream("b1") != 0 {
		t.Errorf("left: keys %v, %d rows, %d small, %d log messages", f.keys(), f.rows(), f.small(), f.inStream("b1"))
	}
	if again := f.expired("b1"); again.GetObjects() != 0 {
		t.Errorf("a repeat deleted %v", again)
	}
	f.eventually("no row of a log is left", func() bool { return f.logRows() == 0 })
	if err := f.call("expire_builds", &artifactv1.ExpireBuildsRequest{BuildIds: []string{"../b1"}}, &artifactv1.ExpireBuildsResponse{}); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("expire_builds of a bad id: %v", err)
	}
}

// TestExpireGoesOnAfterAFault: an object store that fails half way keeps what is left findable.
func TestExpireGoesOnAfterAFault(t *testing.T) {
	t.Parallel()
	var first atomic.Value // the key that may be deleted, also by the janitor, who deletes at the same time
	var restored atomic.Bool
	f := setup(t, option{wrap: func(s objects.Store) objects.Store {
		return objectstest.WithFailure(s, func(op objectstest.Op, key string) error {
			if op == objectstest.OpDelete && !first.CompareAndSwap(nil, key) && first.Load() != key && !restored.Load() {
				return errors.New("access denied")
			}
			return nil
		})
	}})
	f.stored("b1", source, zipOf(t, "package.json", large()))
	f.stored("b1", result, large())
	if _, err := f.expireBuilds("b1"); err == nil {
		t.Fatal("expire_builds = nil, want the fault")
	}
	restored.Store(true)
	f.expired("b1")
	if len(f.keys()) != 0 || f.rows() != 0 {
		t.Errorf("left: %v, %d rows", f.keys(), f.rows())
	}
}

// TestExpireWhileItsLogIsArchived: the copy that was on its way is not kept.
func TestExpireWhileItsLogIsArchived(t *testing.T) {
	t.Parallel()
	copied, goOn := make(chan struct{}), make(chan struct{})
	var copies atomic.Int32
	f := setup(t, option{config: quick, prepare: func(s *artifact.Service) {
		s.SetLogs(time.Minute, time.Millisecond, func(step string) error {
			if step == "stored" && copies.Add(1) == 1 {
				close(copied)
				<-goOn
			}
			return nil
		})
	}})
	f.sayWhole("b1")
	f.ends("b1", 0)
	<-copied
	f.expired("b1")
	close(goOn)
	f.sqlExec("UPDATE objects SET expires_ms = 1")
	f.eventually("nothing is kept", func() bool { return f.rows() == 0 && len(f.keys()) == 0 && f.inStream("b1") == 0 })
	f.say("b1", "late", 1, 1, "from a worker that slept")
	f.eventually("late lines go too", func() bool { return f.inStream("b1") == 0 })
	if f.log0("b1").GetObject() != nil || f.rows() != 0 {
		t.Errorf("a late line made an archive: %v, %d rows", f.log0("b1"), f.rows())
	}
}

// TestDownloadOfWhatExpires: bytes that are removed between the question and the answer are not found, not damaged.
func TestDownloadOfWhatExpires(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ref := f.stored("b1", result, large())
	g := f.grantDownload(ref.GetObjectId())
	f.expired("b1")
	if a := f.get(g); a.status != http.StatusNotFound || a.code() != "object_not_found" {
		t.Errorf("GET after the build expired = %d %s", a.status, a.body)
	}
}

// TestDownloadUnderWayWhileItExpires: it ends whole, or is cut; it never looks whole and is not.
func TestDownloadUnderWayWhileItExpires(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := noise(20 << 20)
	g := f.grantDownload(f.stored("b1", result, data).GetObjectId())
	resp, err := http.DefaultClient.Do(f.request(g, http.MethodGet, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	head := make([]byte, 1<<20)
	if _, err := io.ReadFull(resp.Body, head); err != nil {
		t.Fatal(err)
	}
	f.expired("b1")
	rest, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(slices.Concat(head, rest), data) {
		t.Errorf("%d bytes arrived without an error, want all %d or an error", len(head)+len(rest), len(data))
	}
}

// TestAdoptOfWhatExpires: a retry that copies a source which is removed under its hands says so.
func TestAdoptOfWhatExpires(t *testing.T) {
	t.Parallel()
	var f *farm
	f = setup(t, option{wrap: func(s objects.Store) objects.Store {
		return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
			if op == objectstest.OpCopy {
				f.expired("b1")
			}
			return nil
		})
	}})
	f.stored("b1", source, zipOf(t, "package.json", large()))
	err := f.call("adopt", &artifactv1.AdoptRequest{FromBuildId: "b1", ToBuildId: "b2"}, &artifactv1.AdoptResponse{})
	if !errors.Is(err, build.ErrObjectNotFound) {
		t.Errorf("adopt = %v, want that the source is not there", err)
	}
	if len(f.keys()) != 0 || f.rows() != 0 {
		t.Errorf("left: %v, %d rows", f.keys(), f.rows())
	}
}
