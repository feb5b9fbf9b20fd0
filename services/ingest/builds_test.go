package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// at is a build in a state, with times that tests can name.
func (f *farm) at(state string) string {
	f.t.Helper()
	id, _ := f.submit()
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.SubmittedAtMs = state, 1_700_000_000_000
		switch state {
		case "assigned", "building":
			b.WorkerId, b.WorkerName, b.AssignedAtMs = "w1", "mac", 1_700_000_001_000
		case "completed", "failed":
			b.WorkerId, b.AssignedAtMs, b.FinishedAtMs = "w1", 1_700_000_001_000, 1_700_000_002_000
		case "cancelled":
			b.FinishedAtMs, b.Error = 1_700_000_002_000, "whatever the scheduler says"
		}
		if state == "failed" {
			b.Error = "exit code 1"
		}
	})
	return id
}

func TestStatusV1(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for state, want := range map[string]string{
		"pending":   `"status":"pending","platform":"ios","worker_id":null,"submitted_at":1700000000000,"started_at":null,"completed_at":null,"error_message":null`,
		"queued":    `"status":"pending","platform":"ios","worker_id":null,"submitted_at":1700000000000,"started_at":null,"completed_at":null,"error_message":null`,
		"assigned":  `"status":"assigned","platform":"ios","worker_id":"w1","submitted_at":1700000000000,"started_at":1700000001000,"completed_at":null,"error_message":null`,
		"building":  `"status":"building","platform":"ios","worker_id":"w1","submitted_at":1700000000000,"started_at":1700000001000,"completed_at":null,"error_message":null`,
		"completed": `"status":"completed","platform":"ios","worker_id":"w1","submitted_at":1700000000000,"started_at":1700000001000,"completed_at":1700000002000,"error_message":null`,
		"failed":    `"status":"failed","platform":"ios","worker_id":"w1","submitted_at":1700000000000,"started_at":1700000001000,"completed_at":1700000002000,"error_message":"exit code 1"`,
		"cancelled": `"status":"failed","platform":"ios","worker_id":null,"submitted_at":1700000000000,"started_at":null,"completed_at":1700000002000,"error_message":"Build cancelled by user"`,
	} {
		id := f.at(state)
		r := f.get("/api/builds/"+id+"/status").want(t, 200)
		if diff := cmp.Diff(`{"id":"`+id+`",`+want+"}\n", string(r.body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", state, diff)
		}
		if got := r.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("Content-Type = %q", got)
		}
	}
}

func TestListsV1(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if r := f.get("/api/builds").want(t, 200); string(r.body) != "[]\n" {
		t.Errorf("no builds = %s", r.body)
	}
	if r := f.get("/api/builds/active").want(t, 200); string(r.body) != `{"builds":[]}`+"\n" {
		t.Errorf("none active = %s", r.body)
	}
	done, waits, runs := f.at("completed"), f.at("queued"), f.at("building")
	want := fmt.Sprintf(`[{"id":%q,"status":"building","createdAt":"2023-11-14T22:13:20.000Z"},`+
		`{"id":%q,"status":"pending","createdAt":"2023-11-14T22:13:20.000Z"},`+
		`{"id":%q,"status":"completed","createdAt":"2023-11-14T22:13:20.000Z","completedAt":"2023-11-14T22:13:22.000Z"}]`+"\n", runs, waits, done)
	for _, path := range []string{"/api/builds", "/api/builds/", "/api/builds?limit=3", "/api/builds?limit=x", "/api/builds?limit=-1", "/api/builds?limit=99999"} {
		r := f.get(path).want(t, 200)
		if diff := cmp.Diff(want, string(r.body)); diff != "" || r.header.Get("Link") != "" {
			t.Errorf("%s, Link %q (-want +got):\n%s", path, r.header.Get("Link"), diff)
		}
	}
	r := f.get("/api/builds?limit=2").want(t, 200)
	link, rest, _ := strings.Cut(strings.TrimPrefix(r.header.Get("Link"), "<"), ">")
	if rest != `; rel="next"` || strings.Count(string(r.body), `"id"`) != 2 {
		t.Fatalf("Link = %q, body %s", r.header.Get("Link"), r.body)
	}
	if r := f.get(link).want(t, 200); !strings.Contains(string(r.body), done) || strings.Contains(string(r.body), waits) || r.header.Get("Link") != "" {
		t.Errorf("the next page = %s, Link %q", r.body, r.header.Get("Link"))
	}
	want = fmt.Sprintf(`{"builds":[{"id":%q,"status":"building","platform":"ios","worker_id":"w1","started_at":1700000001000}]}`+"\n", runs)
	if r := f.get("/api/builds/active").want(t, 200); string(r.body) != want {
		t.Errorf("active = %s, want %s", r.body, want)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	h := withKey()
	h["Content-Type"] = "application/json" // and no body, as the published client does
	if r := f.do("POST", "/api/builds/"+id+"/cancel", nil, h).want(t, 200); string(r.body) != `{"status":"cancelled"}`+"\n" {
		t.Errorf("answer = %s", r.body)
	}
	f.post("/api/builds/"+id+"/cancel").want(t, 400, "Build already finished")
	f.post("/api/builds/nonexistent/cancel").want(t, 404, "Build not found")
	f.post("/api/builds/a.b/cancel").want(t, 404, "Build not found")

	id, _ = f.submit()
	if m := f.post(api.Path+"/builds/"+id+"/cancel").want(t, 200).json(t); m["status"] != "cancelled" {
		t.Errorf("v2 = %v", m)
	}
	if m := f.post(api.Path+"/builds/"+id+"/cancel").want(t, 400).json(t); m["code"] != "build_finished" {
		t.Errorf("v2 again = %v", m)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.submit()
	for _, path := range []string{"/health", "/api/health"} {
		r := f.do("GET", path, nil, nil).want(t, 200)
		if want := `{"status":"ok","queue":{"pending":1,"active":0,"total":1},"storage":{"path":"/data","exists":true}}` + "\n"; string(r.body) != want {
			t.Errorf("%s = %s, want %s", path, r.body, want)
		}
	}
	f.do("GET", "/livez", nil, nil).want(t, 200)
	f.do("GET", "/readyz", nil, nil).want(t, 200)
}

func TestBuildV2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.at("building")
	var got api.Build
	if err := json.Unmarshal(f.get(api.Path+"/builds/"+id).want(t, 200).body, &got); err != nil {
		t.Fatal(err)
	}
	want := api.Build{
		ID: id, Platform: "ios", Pool: "default", Status: "building", Attempt: 1, WorkerID: "w1", WorkerName: "mac",
		SubmittedAt: "2023-11-14T22:13:20.000Z", AssignedAt: "2023-11-14T22:13:21.000Z",
		Source: &api.Object{Name: "project.tar.gz", Size: 10, SHA256: "b608089734879cfb06c974d592537dd3e28086592f7f5556b82c836c8f7edb17"}, Attempts: []api.Attempt{{Number: 1, WorkerID: "w1", Outcome: "running"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("build (-want +got):\n%s", diff)
	}
	for path, code := range map[string]string{
		"/builds/nonexistent": "build_not_found", "/builds/a%20b": "build_not_found", "/nonsense": "not_found",
		"/builds/nonexistent/logs": "build_not_found", "/builds/nonexistent/result": "build_not_found",
	} {
		if m := f.get(api.Path+path).want(t, 404).json(t); m["code"] != code {
			t.Errorf("%s = %v, want code %s", path, m, code)
		}
	}
}

func TestListV2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var ids []string
	for _, s := range []string{"pending", "building", "completed", "failed", "building"} {
		ids = append([]string{f.at(s)}, ids...)
	}
	var got []string
	next := ""
	for pages := 0; pages == 0 || next != ""; pages++ {
		var list api.BuildList
		r := f.get(api.Path+"/builds?limit=2&before="+next).want(t, 200)
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		for _, b := range list.Builds {
			got = append(got, b.ID)
		}
		next = list.Next
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	var list api.BuildList
	if err := json.Unmarshal(f.get(api.Path+"/builds?status=building&status=failed").want(t, 200).body, &list); err != nil || len(list.Builds) != 3 {
		t.Errorf("filtered = %+v, %v", list, err)
	}
	for _, q := range []string{"limit=0", "limit=1001", "limit=x", "before=x", "before=-1", "status=done"} {
		f.get(api.Path+"/builds?"+q).want(t, 400)
	}
}

// finished is a completed build with a result.
func (f *farm) finished(platformName, resultName, content string) string {
	f.t.Helper()
	id, _ := f.submit(source(), platform(platformName))
	object := f.artifact.add(&object{build: id, kind: artifactv1.Kind_KIND_RESULT, data: []byte(content)})
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.Result = "completed", &eventsv1.ObjectRef{ObjectId: object, Name: resultName, Size: int64(len(content))}
	})
	return id
}

func TestDownload(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, c := range []struct{ platform, result, ext string }{
		{"ios", "App.ipa", ".ipa"}, {"ios", "result", ".ipa"}, {"android", "app.apk", ".apk"}, {"android", "app-export.tar.gz", ".tar.gz"},
	} {
		id := f.finished(c.platform, c.result, "0123456789")
		r := f.get("/api/builds/"+id+"/download").want(t, 200)
		if string(r.body) != "0123456789" || r.header.Get("Content-Length") != "10" || r.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("download = %q %v", r.body, r.header)
		}
		if got, want := r.header.Get("Content-Disposition"), `attachment; filename="`+id+c.ext+`"`; got != want {
			t.Errorf("Content-Disposition = %q, want %q", got, want)
		}
		r = f.get(api.Path+"/builds/"+id+"/result").want(t, 200)
		if got, want := r.header.Get("Content-Disposition"), `attachment; filename="`+c.result+`"`; got != want || r.header.Get("X-Checksum-Sha256") != "abc" {
			t.Errorf("v2: Content-Disposition = %q, want %q; %v", got, want, r.header)
		}
	}
	id := f.finished("ios", "Ä\".ipa", "0123456789")
	if got := f.get(api.Path + "/builds/" + id + "/result").header.Get("Content-Disposition"); got != `attachment; filename*=utf-8''%C3%84%22.ipa` {
		t.Errorf("Content-Disposition = %q", got)
	}
	for ask, want := range map[string]reply{
		"bytes=4-6": {206, http.Header{"Content-Range": {"bytes 4-6/10"}}, []byte("456")},
		"bytes=-2":  {206, http.Header{"Content-Range": {"bytes 8-9/10"}}, []byte("89")},
		"bytes=50-": {416, http.Header{"Content-Range": {"bytes */10"}}, []byte(`{"error":"Range not satisfiable"}` + "\n")},
	} {
		h := withKey()
		h["Range"] = ask
		r := f.do("GET", "/api/builds/"+id+"/download", nil, h)
		if r.status != want.status || !bytes.Equal(r.body, want.body) || r.header.Get("Content-Range") != want.header.Get("Content-Range") {
			t.Errorf("%s = %d %q %v", ask, r.status, r.body, r.header)
		}
	}
	for _, state := range []string{"pending", "building", "failed", "cancelled"} {
		id := f.at(state)
		f.get("/api/builds/"+id+"/download").want(t, 400, "Build not completed")
		if m := f.get(api.Path+"/builds/"+id+"/result").want(t, 409).json(t); m["code"] != "build_not_completed" {
			t.Errorf("v2 = %v", m)
		}
	}
}
