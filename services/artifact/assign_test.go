package artifact_test

import (
	"errors"
	"net/http"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

func (f *farm) assign(object, buildID string, attempt int32) error {
	f.t.Helper()
	return rpc.Call(f.t.Context(), f.conn, bus.RequestSubject("artifact", "assign"), &artifactv1.AssignRequest{
		ObjectId: object, BuildId: buildID, Attempt: attempt,
	}, &artifactv1.AssignResponse{})
}

// TestResultBeforeItsBuild: a form whose file comes first. What it holds is the gateway's to say, once.
func TestResultBeforeItsBuild(t *testing.T) {
	t.Parallel()
	f := setup(t)
	g := f.grantUpload("unknown", result)
	if err := f.assign(g.GetObjectId(), "b1", 1); !errors.Is(err, build.ErrObjectNotFound) {
		t.Errorf("assign without bytes = %v, want %v", err, build.ErrObjectNotFound)
	}
	if a := f.put(g, []byte("the app")); a.status != http.StatusOK {
		t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	for range 2 { // the second as after a lost answer
		if err := f.assign(g.GetObjectId(), "b1", 2); err != nil {
			t.Fatal(err)
		}
	}
	if s := f.stat(g.GetObjectId()); s.GetBuildId() != "b1" || s.GetAttempt() != 2 {
		t.Errorf("stat = %v", s)
	}
	for name, err := range map[string]error{
		"another build":   f.assign(g.GetObjectId(), "b2", 2),
		"another attempt": f.assign(g.GetObjectId(), "b1", 3),
		"no attempt":      f.assign(g.GetObjectId(), "b1", 0),
	} {
		if !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s = %v, want %v", name, err, build.ErrInvalid)
		}
	}
	f.keep(g.GetObjectId())
	if got := f.get(f.grantDownload(g.GetObjectId())); string(got.body) != "the app" {
		t.Errorf("GET = %q", got.body)
	}
}

func TestSourcesAreNotAssigned(t *testing.T) {
	t.Parallel()
	f := setup(t)
	g := f.grantUpload("b1", source)
	if a := f.put(g, zipOf(t, "app.json", []byte("{}"))); a.status != http.StatusOK {
		t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	if err := f.assign(g.GetObjectId(), "b2", 1); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("assign = %v, want %v", err, build.ErrInvalid)
	}
}
