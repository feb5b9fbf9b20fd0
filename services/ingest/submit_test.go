package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestSubmitInAnyOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	p := platform("android")
	for name, parts := range map[string][]part{
		"platform first":       {p, source(), certs()},
		"source first":         {source(), p, certs()},
		"platform last":        {certs(), source(), p},
		"with what is unknown": {{"profile", "", "p"}, {"metadata", "", "{}"}, source(), {"appleId", "", "a@b"}, certs(), p, {"priority", "", "high"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.postForm("/api/builds/submit", withKey(), parts...).want(t, 200).json(t)
			id := m["id"].(string)
			if m["status"] != "pending" || m["submitted_at"].(float64) == 0 || len(m["access_token"].(string)) != 43 || len(m) != 4 {
				t.Errorf("answer = %v", m)
			}
			src, crt := f.artifact.of(id, artifactv1.Kind_KIND_SOURCE), f.artifact.of(id, artifactv1.Kind_KIND_CERTS)
			if src == nil || crt == nil || string(src.data) != "the source" || string(crt.data) != certsZip() {
				t.Fatalf("source = %+v, certs = %+v", src, crt)
			}
			eventually(t, "both are kept", func() bool {
				return f.artifact.kept(id, artifactv1.Kind_KIND_SOURCE) && f.artifact.kept(id, artifactv1.Kind_KIND_CERTS)
			})
			f.scheduler.set(id, func(b *schedulerv1.Build) {
				if b.GetPlatform() != "android" || b.GetSource().GetSize() != 10 || len(b.GetSource().GetSha256()) != 64 || b.GetCerts().GetObjectId() == "" || b.GetPriority() != 0 {
					t.Errorf("submitted = %v", b)
				}
			})
		})
	}
}

func TestSubmitRefusesAndKeepsNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	large := strings.Repeat("x", 1<<20+1)
	long := part{"platform", "", strings.Repeat("x", 64<<10+1)}
	many := []part{source()}
	for range 100 {
		many = append(many, part{"x", "", "y"})
	}
	for name, c := range map[string]struct {
		parts    []part
		status   int
		sentence string
	}{
		"no source":               {[]part{platform("ios")}, 400, "Source file required"},
		"nothing":                 {nil, 400, "Source file required"},
		"source no file":          {[]part{{"source", "", "text"}, platform("ios")}, 400, "Source file required"},
		"no platform":             {[]part{source()}, 400, "Valid platform required (ios|android)"},
		"other platform":          {[]part{source(), platform("windows")}, 400, "Valid platform required (ios|android)"},
		"IOS":                     {[]part{source(), platform("IOS")}, 400, "Valid platform required (ios|android)"},
		"large source":            {[]part{platform("ios"), {"source", "p.zip", large}}, 413, "Source file too large"},
		"large certs":             {[]part{platform("ios"), source(), {"certs", "c.zip", strings.Repeat("x", 10<<20+1)}}, 413, "Certs file too large"},
		"certs over what is kept": {[]part{platform("ios"), source(), {"certs", "c.zip", zipOf("a.p12", noise(2<<20))}}, 413, "Certs file too large"},
		"long field":              {[]part{source(), long}, 400, "Field platform is longer than 65536 bytes"},
		"too many parts":          {many, 400, "The form has more than 100 parts"},
		"second source in":        {[]part{source(), {"source", "b.zip", large}, platform("x")}, 400, "Valid platform required (ios|android)"},
	} {
		f.postForm("/api/builds/submit", withKey(), c.parts...).want(t, c.status, c.sentence)
		if n := f.artifact.count(); n != 0 {
			t.Errorf("%s: %d objects left", name, n)
		}
	}
	for contentType, body := range map[string]string{
		"application/json": "{}", "": "", "text/plain": "hello", "multipart/form-data": "--b--",
	} {
		h := withKey()
		h["Content-Type"] = contentType
		f.do("POST", "/api/builds/submit", strings.NewReader(body), h).want(t, 400, "Content must be multipart/form-data")
	}
	for _, body := range []string{"", "--b", "--b\r\nContent-Disposition: form-data; name=\"platform\"\r\n\r\nios", "hello"} {
		h := withKey()
		h["Content-Type"] = "multipart/form-data; boundary=b"
		f.do("POST", "/api/builds/submit", strings.NewReader(body), h).want(t, 400)
	}
	if n := f.scheduler.count(); n != 0 {
		t.Errorf("%d builds submitted", n)
	}
}

// endless sends a form whose source never ends, and counts what the line took.
func (f *farm) endless(ctx context.Context, sent *atomic.Int64) (*http.Response, error) {
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, err := form.CreateFormFile("source", "p.zip")
		for chunk := make([]byte, 64<<10); err == nil; {
			var n int
			n, err = out.Write(chunk)
			sent.Add(int64(n))
		}
	}()
	defer func() { pr.Close(); <-done }()
	req := f.request("POST", "/api/builds/submit", pr, withKey()).WithContext(ctx)
	req.Header.Set("Content-Type", form.FormDataContentType())
	return http.DefaultClient.Do(req)
}

func TestLimitIsToldBeforeAllHasCome(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]struct{ request, object int64 }{
		"the artifact service's": {1 << 40, 1 << 20}, "the gateway's": {1 << 20, 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(c *ingest.Config) { c.MaxUploadBytes = limits.request })
			f.artifact.limit = limits.object
			var sent atomic.Int64
			resp, err := f.endless(t.Context(), &sent)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			defer resp.Body.Close()
			data, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(data), `"Source file too large"`) {
				t.Errorf("answer = %d %s, %v", resp.StatusCode, data, err)
			}
			eventually(t, "nothing is left", func() bool { return f.artifact.count() == 0 })
		})
	}
}

func TestAnnouncedLengthOverTheLimit(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.MaxUploadBytes = 1000 })
	r := f.postForm("/api/builds/submit", withKey(), platform("ios"), part{"source", "p.zip", strings.Repeat("x", 2000)})
	r.want(t, 413, "Source file too large")
	if len(f.artifact.arrived) != 0 {
		t.Error("bytes were passed on")
	}
}

func TestClientLeavesDuringTheUpload(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.artifact.limit = 1 << 40
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		var sent atomic.Int64
		_, err := f.endless(ctx, &sent) //nolint:bodyclose // there is no answer
		left <- err
	}()
	<-f.artifact.arrived
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("the request ended with %v", err)
	}
	eventually(t, "what had arrived is discarded", func() bool { return f.artifact.count() == 0 })
	if n := f.scheduler.count(); n != 0 {
		t.Errorf("%d builds submitted", n)
	}
}

// TestClientLeavesDuringTheSubmit: once the scheduler is asked, the build is.
func TestClientLeavesDuringTheSubmit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.scheduler.submitting = cancel
	var body strings.Builder
	w := multipart.NewWriter(&body)
	if err := write(w, source(), platform("ios")); err != nil {
		t.Fatal(err)
	}
	req := f.request("POST", "/api/builds/submit", strings.NewReader(body.String()), withKey()).WithContext(ctx)
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	eventually(t, "the build's source is kept", func() bool {
		f.artifact.mu.Lock()
		defer f.artifact.mu.Unlock()
		for _, o := range f.artifact.objects {
			return o.kept
		}
		return false
	})
	if n := f.scheduler.count(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

// TestLostAnswerOfTheScheduler: the gateway asks once more and gets the build that exists by now.
func TestLostAnswerOfTheScheduler(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.scheduler.loseAnswers = 1
	var got api.Submitted
	r := f.postForm(api.Path+"/builds", withKey(), source(), platform("ios")).want(t, 201)
	if err := json.Unmarshal(r.body, &got); err != nil || got.Build.ID != f.scheduler.builds[0].GetId() {
		t.Errorf("answer = %s, %v, want build %s", r.body, err, f.scheduler.builds[0].GetId())
	}
	if n := f.scheduler.count(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

func TestSchedulerRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  error
		status int
		again  string
	}{
		"queue full": {fmt.Errorf("%w: 5 builds wait already", build.ErrQueueFull), 429, "5"},
		"away":       {fmt.Errorf("%w: restarting", build.ErrUnavailable), 503, "5"},
		"invalid":    {fmt.Errorf("%w: pool", build.ErrInvalid), 400, ""},
		"broken":     {errors.New("secret detail"), 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.scheduler.fail(c.fault)
			r := f.postForm("/api/builds/submit", withKey(), source(), certs(), platform("ios")).want(t, c.status)
			if got := r.header.Get("Retry-After"); got != c.again {
				t.Errorf("Retry-After = %q, want %q", got, c.again)
			}
			if strings.Contains(string(r.body), "secret detail") {
				t.Errorf("answer = %s", r.body)
			}
			if n := f.artifact.count(); n != 0 {
				t.Errorf("%d objects left", n)
			}
		})
	}
}

func TestSubmitV2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	r := f.postForm(api.Path+"/builds", withKey(), source(), part{"priority", "", "-3"}, part{"project", "", "shop"},
		part{"profile", "", "preview"}, part{"pool", "", "mac"}, platform("android")).want(t, 201)
	var got api.Submitted
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Project != "shop" || got.Profile != "preview" || got.Pool != "mac" || got.Priority != -3 || got.Platform != "android" ||
		got.Source.Size != 10 || got.AccessToken == "" || len(got.Warnings) != 1 || r.header.Get("Location") != api.Path+"/builds/"+got.ID {
		t.Errorf("submitted = %+v, Location %s", got, r.header.Get("Location"))
	}
	var p api.Problem
	r = f.postForm(api.Path+"/builds", withKey(), source(), platform("ios"), part{"priority", "", "high"}).want(t, 400)
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Code != "invalid_request" || p.Status != 400 || p.RequestID != r.header.Get("X-Request-Id") || p.Title != "Bad Request" ||
		r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("problem = %+v", p)
	}
	r = f.postForm(api.Path+"/builds", withKey(), platform("ios"), part{"source", "p.zip", strings.Repeat("x", 1<<20+1)}).want(t, 413)
	if !strings.Contains(string(r.body), "Source file too large: the limit is 1 MB") {
		t.Errorf("problem = %s", r.body)
	}
}

// TestSubmitSaysWhatItIsOf, and a retry is of the same.
func TestSubmitSaysWhatItIsOf(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sha := strings.Repeat("0a", 20)
	of := []part{{"repository", "", "acme/shop"}, {"commit", "", sha}, {"branch", "", "feature/x"},
		{"app_path", "", "apps/shop"}, {"modified", "", "true"}, {"username", "", "jo"}, {"build_number", "", "42"}}
	settings := build.Settings{AppPath: "apps/shop", Modified: true, Username: "jo", BuildNumber: "42"}
	r := f.postForm(api.Path+"/builds", withKey(), append(of, source(), platform("ios"))...).want(t, 201)
	var got, again api.Submitted
	if err := json.Unmarshal(r.body, &got); err != nil || got.Repository != "acme/shop" || got.Commit != sha || got.Branch != "feature/x" || got.Settings != settings {
		t.Errorf("submitted = %+v, %v", got, err)
	}
	if err := json.Unmarshal(f.post(api.Path+"/builds/"+got.ID+"/retry").want(t, 201).body, &again); err != nil ||
		again.ID == got.ID || again.Repository != got.Repository || again.Commit != sha || again.Branch != got.Branch || again.Settings != settings {
		t.Errorf("retried = %+v, %v", again, err)
	}
	for field, value := range map[string]string{"commit": sha[:7], "repository": "shop", "branch": "a b", "app_path": "../x", "modified": "yes", "build_number": "v1"} {
		r := f.postForm(api.Path+"/builds", withKey(), source(), platform("ios"), part{field, "", value}).want(t, 400)
		if !strings.Contains(strings.ReplaceAll(string(r.body), " ", "_"), field) {
			t.Errorf("%s %s: %s", field, value, r.body)
		}
	}
	if n := f.artifact.count(); n != 2 {
		t.Errorf("%d objects, want the sources of two builds", n)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit()
	m := f.do("POST", "/api/builds/"+id+"/retry", nil, hdr{"X-Build-Token": token}).want(t, 200).json(t)
	again := m["id"].(string)
	if again == id || m["original_build_id"] != id || m["status"] != "pending" || m["access_token"] == token {
		t.Errorf("retry = %v", m)
	}
	eventually(t, "its source is kept", func() bool { return f.artifact.kept(again, artifactv1.Kind_KIND_SOURCE) })
	f.postForm("/api/builds/nonexistent/retry", withKey()).want(t, 404, "Build not found")

	f.scheduler.fail(build.ErrQueueFull)
	before := f.artifact.count()
	f.post(api.Path+"/builds/"+id+"/retry").want(t, 429)
	if n := f.artifact.count(); n != before {
		t.Errorf("%d objects, want %d", n, before)
	}
	f.scheduler.fail(nil)
	f.post(api.Path+"/builds/"+id+"/retry").want(t, 201)

	f.artifact.mu.Lock()
	clear(f.artifact.objects)
	f.artifact.mu.Unlock()
	f.post("/api/builds/"+id+"/retry").want(t, 400, "The source of build "+id+" is not kept any more; submit it again")
}
