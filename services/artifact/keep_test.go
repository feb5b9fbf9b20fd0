package artifact_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// chunk is how far the service holds back, see send.go.
const chunk = 256 << 10

func itoa(n int) string { return strconv.Itoa(n) }

func (f *farm) uploaded(buildID string, k artifactv1.Kind, data []byte) string {
	f.t.Helper()
	g := f.grantUpload(buildID, k)
	if a := f.put(g, data); a.status != 200 {
		f.t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	return g.GetObjectId()
}

func (f *farm) expire() { f.sqlExec("UPDATE objects SET expires_ms = 1 WHERE state <> 'kept'") }

func TestKeepAndDiscard(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.uploaded("b1", result, []byte("x"))
	empty := f.grantUpload("b1", result).GetObjectId()
	keep := func(ids ...string) error {
		return f.call("keep", &artifactv1.KeepRequest{ObjectIds: ids}, &artifactv1.KeepResponse{})
	}
	discard := func(ids ...string) error {
		return f.call("discard", &artifactv1.DiscardRequest{ObjectIds: ids}, &artifactv1.DiscardResponse{})
	}
	wantIs(t, keep("unknown"), build.ErrObjectNotFound)
	wantIs(t, keep(id, empty), build.ErrObjectNotFound)
	wantIs(t, keep(make([]string, 1001)...), build.ErrInvalid)
	wantIs(t, discard(make([]string, 1001)...), build.ErrInvalid)
	for range 2 {
		if err := keep(id); err != nil {
			t.Error(err)
		}
	}
	g := f.grantDownload(id)
	for range 2 {
		if err := discard(id, empty, "unknown"); err != nil {
			t.Error(err)
		}
	}
	f.nothingLeft()
	if a := f.get(g); a.status != 404 || a.code() != "object_not_found" {
		t.Errorf("GET of what was discarded = %d %s", a.status, a.body)
	}
	wantIs(t, f.call("download", &artifactv1.DownloadRequest{ObjectId: id}, &artifactv1.DownloadResponse{}), build.ErrObjectNotFound)
	wantIs(t, f.call("stat", &artifactv1.StatRequest{ObjectId: id}, &artifactv1.StatResponse{}), build.ErrObjectNotFound)
	wantIs(t, f.call("upload", &artifactv1.UploadRequest{BuildId: "a.b", Kind: result}, &artifactv1.UploadResponse{}), build.ErrInvalid)
}

func TestJanitorRemovesWhatNobodyKept(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.uploaded("b1", result, []byte("x")) // its build is unknown
	f.uploaded("b2", result, []byte("y")) // its build names another
	f.uploaded("b2", artifacts, large())  // a lost attempt's
	f.scheduler.set(&schedulerv1.Build{
		Id: "b2", Result: &eventsv1.ObjectRef{ObjectId: "other"}, Artifacts: &schedulerv1.BuildArtifacts{Object: &eventsv1.ObjectRef{ObjectId: "others"}},
	}, "")
	f.grantUpload("b3", source) // never got bytes
	f.expire()
	f.nothingLeft()
}

func TestJanitorKeepsWhatABuildNames(t *testing.T) {
	t.Parallel()
	f := setup(t)
	src := f.uploaded("b1", source, zipOf(t, "a", nil))
	crt := f.uploaded("b1", certs, large())
	res := f.uploaded("b1", result, large())
	art := f.uploaded("b1", artifacts, large())
	f.scheduler.set(&schedulerv1.Build{
		Id: "b1", Source: &eventsv1.ObjectRef{ObjectId: src}, Certs: &eventsv1.ObjectRef{ObjectId: crt}, Result: &eventsv1.ObjectRef{ObjectId: res},
		Artifacts: &schedulerv1.BuildArtifacts{Object: &eventsv1.ObjectRef{ObjectId: art}},
	}, "")
	f.expire()
	f.eventually("all four are kept", func() bool {
		var n int
		err := f.db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM objects WHERE state = 'kept'").Scan(&n)
		return err == nil && n == 4
	})
	if got := len(f.keys()); got != 3 || f.small() != 1 {
		t.Errorf("%d keys and %d small ones, want 3 and 1", got, f.small())
	}
}

func TestJanitorDeletesNothingWhileTheSchedulerIsSilent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.scheduler.fail(fmt.Errorf("%w: it rests", build.ErrUnavailable))
	f.uploaded("b1", result, large())
	f.uploaded("b1", result, []byte("x"))
	f.expire()
	f.eventually("a sweep was given up", func() bool { return bytes.Contains([]byte(f.log.String()), []byte("it rests")) })
	if f.rows() != 2 || len(f.keys()) != 1 || f.small() != 1 {
		t.Error("something was deleted")
	}
	f.scheduler.fail(nil)
	f.nothingLeft()
}

// TestJanitorFindsKeysOfACrash: the bytes are there, the process died before the row said so.
func TestJanitorFindsKeysOfACrash(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.uploaded("b1", result, large())
	f.sqlExec("UPDATE objects SET state = 'staged', s3_key = '' WHERE id = $1", id)
	key := f.keys()[0]
	if err := f.store.Copy(t.Context(), key, key+"x"); err != nil {
		t.Fatal(err)
	}
	f.expire()
	f.nothingLeft()
}

func TestJanitorEndsADeletionThatWasBegun(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.stored("b1", result, []byte("x")).GetObjectId()
	f.scheduler.fail(build.ErrUnavailable) // not asked any more
	f.sqlExec("UPDATE objects SET state = 'condemned' WHERE id = $1", id)
	f.nothingLeft()
}

func TestJanitorMeetsANameWithoutBytes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.grantUpload("b1", result).GetObjectId()
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Result: &eventsv1.ObjectRef{ObjectId: id}}, "")
	f.expire()
	f.eventually("it is put off", func() bool {
		var ms int64
		err := f.db.Read().QueryRowContext(t.Context(), "SELECT expires_ms FROM objects WHERE id = $1", id).Scan(&ms)
		return err == nil && ms > time.Now().UnixMilli()
	})
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data, secret := zipOf(t, "a", noise(50)), []byte("secret")
	src := f.stored("b1", source, data)
	crt := f.stored("b1", certs, secret)
	f.uploaded("b1", source, zipOf(t, "later, not kept", nil))
	adopt := func(from, to string) (*artifactv1.AdoptResponse, error) {
		var resp artifactv1.AdoptResponse
		return &resp, f.call("adopt", &artifactv1.AdoptRequest{FromBuildId: from, ToBuildId: to}, &resp)
	}
	first, err := adopt("b1", "b2")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := adopt("b1", "b2"); err != nil || !proto.Equal(first, again) {
		t.Errorf("adopt again = %v, %v; want %v", again, err, first)
	}
	f.keep(first.GetSource().GetObjectId(), first.GetCerts().GetObjectId())
	discard := &artifactv1.DiscardRequest{ObjectIds: []string{src.GetObjectId(), crt.GetObjectId()}}
	if err := f.call("discard", discard, &artifactv1.DiscardResponse{}); err != nil {
		t.Fatal(err)
	}
	if a := f.get(f.grantDownload(first.GetSource().GetObjectId())); !bytes.Equal(a.body, data) {
		t.Errorf("GET of the copy = %d, %d bytes", a.status, len(a.body))
	}
	if a := f.get(f.grantDownload(first.GetCerts().GetObjectId())); !bytes.Equal(a.body, secret) {
		t.Errorf("GET of the certs' copy = %d %s", a.status, a.body)
	}
	if st := f.stat(first.GetSource().GetObjectId()); st.GetBuildId() != "b2" || st.GetAttempt() != 0 || st.GetObject().GetSha256() != sum(data) {
		t.Errorf("stat of the copy = %v", st)
	}
	_, err = adopt("unknown", "b3")
	wantIs(t, err, build.ErrObjectNotFound)
	_, err = adopt("b1", "b1")
	wantIs(t, err, build.ErrInvalid)
}

func TestAdoptWithoutCertsAndWithoutBytes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.stored("b1", source, zipOf(t, "a", large()))
	var resp artifactv1.AdoptResponse
	if err := f.call("adopt", &artifactv1.AdoptRequest{FromBuildId: "b1", ToBuildId: "b2"}, &resp); err != nil || resp.GetCerts() != nil {
		t.Errorf("adopt = %v, %v", &resp, err)
	}
	for _, key := range f.keys() {
		if err := f.store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	rows := f.rows()
	err := f.call("adopt", &artifactv1.AdoptRequest{FromBuildId: "b1", ToBuildId: "b3"}, &resp)
	wantIs(t, err, build.ErrObjectCorrupt)
	if f.rows() != rows {
		t.Error("a failed adopt left a row")
	}
}
