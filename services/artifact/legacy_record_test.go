package artifact_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

func TestRecordLog(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	file := archiveOf(t, "one", "two")
	g := f.grantUpload("b1", artifactv1.Kind_KIND_LOG)
	if a := f.put(g, file); a.status != http.StatusOK {
		t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	record := func(buildID, objectID string) error {
		return f.call("record_log", &artifactv1.RecordLogRequest{BuildId: buildID, ObjectId: objectID, EndedAtMs: time.Now().UnixMilli()},
			&artifactv1.RecordLogResponse{})
	}
	for range 2 { // the second is a repeat
		if err := record("b1", g.GetObjectId()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"one", "two"}, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	f.say("b1", bus.System, 1, 0, "Retried as build b9")
	if diff := cmp.Diff([]string{"one", "two", "Retried as build b9"}, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	other := f.grantUpload("b1", artifactv1.Kind_KIND_LOG)
	f.put(other, file)
	bad := f.grantUpload("b3", artifactv1.Kind_KIND_LOG)
	f.put(bad, []byte("no archive"))
	for name, c := range map[string]struct {
		build, object string
		want          error
	}{
		"of another": {"b2", g.GetObjectId(), build.ErrInvalid},
		"has one":    {"b1", other.GetObjectId(), build.ErrInvalid},
		"no archive": {"b3", bad.GetObjectId(), build.ErrInvalid},
		"not there":  {"b1", "none", build.ErrObjectNotFound},
	} {
		if err := record(c.build, c.object); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestRecordLogOfAnExpiredBuild: an import that is repeated after a build has expired goes on, and leaves no archive.
func TestRecordLogOfAnExpiredBuild(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	if err := f.call("expire_builds", &artifactv1.ExpireBuildsRequest{BuildIds: []string{"b1"}}, &artifactv1.ExpireBuildsResponse{}); err != nil {
		t.Fatal(err)
	}
	g := f.grantUpload("b1", artifactv1.Kind_KIND_LOG)
	f.put(g, archiveOf(t, "one"))
	err := f.call("record_log", &artifactv1.RecordLogRequest{BuildId: "b1", ObjectId: g.GetObjectId()}, &artifactv1.RecordLogResponse{})
	if err != nil {
		t.Errorf("record the log = %v", err)
	}
	if lines := f.whole("b1"); len(lines) != 0 {
		t.Errorf("the expired build has a log again: %q", lines)
	}
}

func archiveOf(t *testing.T, texts ...string) []byte {
	t.Helper()
	var out writerTo
	w, err := logarchive.NewWriter(&out)
	for _, text := range texts {
		if err == nil {
			err = w.Write(logarchive.Line{AtMs: 1, Attempt: 1, Level: "info", Text: text})
		}
	}
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type writerTo []byte

func (w *writerTo) Write(p []byte) (int, error) { *w = slices.Concat(*w, p); return len(p), nil }
