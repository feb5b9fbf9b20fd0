package ingest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// page returns the page of a build.
func (f *farm) page(id string) string {
	f.t.Helper()
	v := f.visitor()
	v.login(key("/"))
	resp, err := v.client.Do(f.request("GET", "/builds/"+id, nil, nil))
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		f.t.Fatalf("page of %s: %d, %v", id, resp.StatusCode, err)
	}
	return string(body)
}

// TestArtifacts: the files that a build kept are downloaded as its result is, also of a build that failed, and every view lists them.
func TestArtifacts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	keep := func(id, state string) {
		object := f.artifact.add(&object{build: id, kind: artifactv1.Kind_KIND_ARTIFACTS, data: []byte("0123456789")})
		f.scheduler.set(id, func(b *schedulerv1.Build) {
			b.State = state
			b.Artifacts = &schedulerv1.BuildArtifacts{Files: 3, Object: &eventsv1.ObjectRef{ObjectId: object, Name: "build-artifacts.tar.gz", Size: 10, Sha256: "abc"}}
		})
	}
	for _, state := range []string{"completed", "failed"} {
		id, token := f.submit(source(), platform("ios"))
		keep(id, state)
		url := api.Path + "/builds/" + id
		r := f.get(url+"/artifacts").want(t, 200)
		if string(r.body) != "0123456789" || r.header.Get("Content-Disposition") != `attachment; filename="build-artifacts.tar.gz"` || r.header.Get("X-Checksum-Sha256") != "abc" {
			t.Errorf("GET = %q %v", r.body, r.header)
		}
		h := hdr{"X-Build-Token": token, "Range": "bytes=4-6"}
		if r := f.do("GET", url+"/artifacts", nil, h).want(t, 206); string(r.body) != "456" || r.header.Get("Content-Range") != "bytes 4-6/10" {
			t.Errorf("range with the build's token = %q %v", r.body, r.header)
		}
		f.do("GET", url+"/artifacts", nil, nil).want(t, 401)
		want := map[string]any{"name": "build-artifacts.tar.gz", "size": 10.0, "sha256": "abc", "files": 3.0}
		if d := cmp.Diff(want, f.get(url).want(t, 200).json(t)["artifacts"]); d != "" {
			t.Errorf("build (-want +got): %s", d)
		}
		if list := string(f.get(api.Path+"/builds").want(t, 200).body); !strings.Contains(list, `"files":3`) {
			t.Errorf("list = %s", list)
		}
		if page := f.page(id); !strings.Contains(page, "Download artifacts (10") || !strings.Contains(page, "3 files") {
			t.Errorf("page = %s", page)
		}
	}
	id := f.at("building")
	if m := f.get(api.Path+"/builds/"+id+"/artifacts").want(t, 409).json(t); m["code"] != "build_not_completed" {
		t.Errorf("of a running build: %v", m)
	}
	id = f.at("failed")
	if m := f.get(api.Path+"/builds/"+id+"/artifacts").want(t, 404).json(t); m["code"] != "object_not_found" || !strings.Contains(m["detail"].(string), "buildArtifactPaths") {
		t.Errorf("of a build without: %v", m)
	}
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.Artifacts = &schedulerv1.BuildArtifacts{Problem: "Build artifacts were not kept: a <b>"}
	})
	if m := f.get(api.Path+"/builds/"+id+"/artifacts").want(t, 404).json(t); m["detail"] != "Build artifacts were not kept: a <b>" {
		t.Errorf("of a build that could not keep any: %v", m)
	}
	if page := f.page(id); !strings.Contains(page, "Build artifacts were not kept: a &lt;b&gt;") {
		t.Errorf("page = %s", page)
	}
}
