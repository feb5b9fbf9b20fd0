package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// v1 is a deployed worker: it knows HTTP alone.
type v1 struct {
	t        testing.TB
	url, key string
	id       string
}

func (f *farm) v1(platforms ...string) *v1 {
	f.t.Helper()
	w := &v1{t: f.t, url: f.url(), key: farmKey}
	w.register(platforms...)
	return w
}

func (w *v1) register(platforms ...string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"name": "mini", "capabilities": map[string]any{"platforms": platforms}})
	if err != nil {
		w.t.Fatal(err)
	}
	var answer struct{ ID, Status, BaseImageID string }
	if code := w.call(http.MethodPost, "/api/workers/register", "application/json", bytes.NewReader(body), &answer); code != http.StatusOK ||
		answer.Status != "registered" || answer.BaseImageID == "" {
		w.t.Fatalf("register = %d %+v", code, answer)
	}
	w.id = answer.ID
}

// call asks as the worker and gives the status.
func (w *v1) call(method, path, contentType string, body io.Reader, answer any) int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", w.key)
	req.Header.Set("X-Worker-Id", w.id)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if parts := strings.Split(path, "/"); len(parts) > 3 && parts[2] == "builds" {
		req.Header.Set("X-Build-Id", parts[3])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && answer != nil {
		err = json.Unmarshal(data, answer)
	}
	if err != nil {
		w.t.Fatalf("%s %s = %d %.300s: %v", method, path, resp.StatusCode, data, err)
	}
	return resp.StatusCode
}

// poll returns the id of the worker's job, "" for none.
func (w *v1) poll() string {
	w.t.Helper()
	var answer struct{ Job *struct{ ID string } }
	if code := w.call(http.MethodGet, "/api/workers/poll?worker_id="+w.id, "", nil, &answer); code != http.StatusOK {
		w.t.Fatalf("poll = %d", code)
	}
	if answer.Job == nil {
		return ""
	}
	return answer.Job.ID
}

func (w *v1) post(path, body string) int {
	w.t.Helper()
	return w.call(http.MethodPost, path, "application/json", strings.NewReader(body), nil)
}

// upload ends a build, its file before its fields if fileFirst.
func (w *v1) upload(id, success, result string, fileFirst bool) int {
	w.t.Helper()
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	fields := func() {
		for _, f := range [][2]string{{"build_id", id}, {"worker_id", w.id}, {"success", success}} {
			if err := form.WriteField(f[0], f[1]); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if !fileFirst {
		fields()
	}
	part, err := form.CreateFormFile("result", "App.ipa")
	if err == nil {
		_, err = io.WriteString(part, result)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if fileFirst {
		fields()
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	return w.call(http.MethodPost, "/api/workers/upload", form.FormDataContentType(), &buf, nil)
}

func (f *farm) logOf(id string) (lines []api.LogLine) {
	f.t.Helper()
	if err := f.client().Builds.ReadLog(f.t.Context(), id, func(l api.LogLine) error { lines = append(lines, l); return nil }); err != nil {
		f.t.Fatal(err)
	}
	return lines
}

// TestV1AndNativeShareOneQueue: each build is one worker's, and both kinds get some.
func TestV1AndNativeShareOneQueue(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.worker("native", "slow=300ms")
	old := f.v1("ios", "android")
	var ids []string
	for range 6 {
		ids = append(ids, f.submit())
	}
	polled := map[string]bool{}
	f.eventually("all builds end", func() bool {
		if id := old.poll(); id != "" {
			if polled[id] {
				t.Fatalf("build %s was given again after its end", id)
			}
			polled[id] = true
			if code := old.upload(id, "true", "by v1", len(polled)%2 == 0); code != http.StatusOK {
				t.Fatalf("upload = %d", code)
			}
		}
		return !slices.ContainsFunc(ids, func(id string) bool {
			b, err := f.client().Builds.Get(t.Context(), id)
			return err != nil || !b.Final()
		})
	})
	for _, id := range ids {
		if b := f.completedOnce(id); polled[id] != (b.WorkerID == old.id) || len(b.Attempts) != 1 {
			t.Errorf("build %+v, given to the v1 worker: %t", b, polled[id])
		}
	}
	if len(polled) == 0 || len(polled) == len(ids) {
		t.Errorf("the v1 worker had %d of %d builds, want both kinds to have some", len(polled), len(ids))
	}
}

// TestV1SilenceLosesTheBuild: without a poll or a word about it the next worker has it after its stage's TTL; the first one's late
// result changes nothing.
func TestV1SilenceLosesTheBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--heartbeat-timeouts", "all=2s")
	silent := f.v1("android")
	id := f.submit()
	if got := silent.poll(); got != id {
		t.Fatalf("poll gave %q, want %s", got, id)
	}
	next := f.v1("android")
	f.eventually("the next worker has the build", func() bool { return next.poll() == id })
	if code := silent.upload(id, "true", "late", false); code != http.StatusForbidden {
		t.Errorf("a late upload = %d, want 403", code)
	}
	if code := silent.post("/api/builds/"+id+"/logs", `{"level":"info","message":"late"}`); code != http.StatusForbidden {
		t.Errorf("a late line = %d, want 403", code)
	}
	if code := next.upload(id, "true", "the app", false); code != http.StatusOK {
		t.Errorf("upload = %d", code)
	}
	if b := f.completedOnce(id); b.Attempt != 2 || b.WorkerID != next.id {
		t.Errorf("build = %+v, want the second worker's attempt 2", b)
	}
}

// TestV1LifeKeepsTheBuild: whatever a worker or its VM says about a build counts, for longer than any TTL.
func TestV1LifeKeepsTheBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--heartbeat-timeouts", "all=2s")
	w := f.v1("android")
	id := f.submit()
	w.poll()
	words := []func() int{
		func() int {
			return w.post("/api/builds/"+id+"/logs", `{"level":"info","message":"Installing CocoaPods"}`)
		},
		func() int { return w.post("/api/builds/"+id+"/heartbeat?worker_id="+w.id, `{"progress":40}`) },
		func() int {
			return w.post("/api/builds/"+id+"/telemetry", `{"type":"heartbeat","data":{"stage":"initializing","metrics":{"cpu_percent":150}}}`)
		},
		func() int { return w.call(http.MethodGet, "/api/builds/"+id+"/source", "", nil, nil) },
	}
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for i := range 18 { // 7 s
		<-tick.C
		if code := words[i%len(words)](); code != http.StatusOK {
			t.Fatalf("word %d = %d", i, code)
		}
	}
	b, err := f.client().Builds.Get(t.Context(), id)
	if err != nil || b.Attempt != 1 || b.Status != "building" || b.Stage != "pods" {
		t.Errorf("build = %+v, %v, want attempt 1 building in stage pods", b, err)
	}
	if code := w.upload(id, "true", "the app", true); code != http.StatusOK {
		t.Errorf("upload = %d", code)
	}
	f.completedOnce(id)
	var texts []string
	for _, l := range f.logOf(id) {
		texts = append(texts, l.Level+" "+l.Text)
	}
	for _, want := range []string{"info Build progress: 40%", "debug [VM] Stage: initializing", "info Installing CocoaPods"} {
		if !slices.Contains(texts, want) {
			t.Errorf("the log lacks %q: %q", want, texts)
		}
	}
}

// TestV1CutUploadLeavesNothing: no object, and the build is still its worker's.
func TestV1CutUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	w := f.v1("android")
	id := f.submit()
	w.poll()
	before := visibleObjects(t, f.dir)
	for _, head := range []string{
		"--b\r\nContent-Disposition: form-data; name=\"build_id\"\r\n\r\n" + id + "\r\n--b\r\nContent-Disposition: form-data; name=\"worker_id\"\r\n\r\n" + w.id + "\r\n",
		"", // the file first
	} {
		body := head + "--b\r\nContent-Disposition: form-data; name=\"result\"; filename=\"App.ipa\"\r\n\r\n" + strings.Repeat("x", 3<<20)
		if code := w.call(http.MethodPost, "/api/workers/upload", "multipart/form-data; boundary=b", strings.NewReader(body), nil); code != http.StatusBadRequest {
			t.Errorf("a form that is cut = %d, want 400", code)
		}
	}
	f.eventually("what was uploaded is gone", func() bool { return len(visibleObjects(t, f.dir)) == len(before) })
	if got := w.poll(); got != id {
		t.Errorf("the build is no longer its worker's: %q", got)
	}
	if code := w.upload(id, "true", "the app", true); code != http.StatusOK {
		t.Errorf("upload = %d", code)
	}
	f.completedOnce(id)
}

// TestV1Unregister: the Mac app's goodbye; what it builds goes on elsewhere at once.
func TestV1Unregister(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	w := f.v1("android")
	id := f.submit()
	w.poll()
	if code := w.post("/api/workers/"+w.id+"/unregister", ""); code != http.StatusOK {
		t.Fatalf("unregister = %d", code)
	}
	if code := w.call(http.MethodGet, "/api/workers/poll?worker_id="+w.id, "", nil, nil); code != http.StatusNotFound {
		t.Errorf("a poll after the goodbye = %d, want 404", code)
	}
	f.worker("native", "")
	f.completedOnce(id)
}

// get returns the body of a response with status 200.
func (w *v1) get(path string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", w.key)
	req.Header.Set("X-Worker-Id", w.id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s = %d %s, %v", path, resp.StatusCode, body, err)
	}
	return string(body)
}
