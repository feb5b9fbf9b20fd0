package ingest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// uploaded makes an upload and, if there is content, sends it.
func (f *farm) uploaded(content string) api.Upload {
	f.t.Helper()
	r := f.do(http.MethodPost, "/api/v2/uploads", strings.NewReader(`{"name":"app.zip","project":"shop"}`), hdr{"X-API-Key": adminKey}).want(f.t, 201)
	var up api.Upload
	if err := json.Unmarshal(r.body, &up); err != nil {
		f.t.Fatal(err)
	}
	if content != "" {
		f.do(http.MethodPut, up.URL, strings.NewReader(content), hdr(up.Headers)).want(f.t, 200)
	}
	return up
}

func upload(id string) part { return part{name: "upload", content: id} }

// TestUploadIsOneBuild: however often it is submitted, with whatever beside it.
func TestUploadIsOneBuild(t *testing.T) {
	t.Parallel()
	f := setup(t)
	up, key := f.uploaded("the source"), hdr{"X-API-Key": adminKey}
	if up.MaxBytes <= 0 || up.Headers[api.TicketHeader] == "" {
		t.Errorf("upload = %+v", up)
	}
	first := f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios"), certs()).want(t, 201).json(t)
	objects := f.artifact.count()
	again := f.postForm("/api/v2/builds", key, certs(), platform("ios"), upload(up.ID)).want(t, 201)
	if again.json(t)["id"] != first["id"] || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("first = %v, again = %s %v", first, again.body, again.header)
	}
	if f.scheduler.count() != 1 || f.artifact.count() != objects {
		t.Errorf("%d builds and %d objects, want 1 and %d", f.scheduler.count(), f.artifact.count(), objects)
	}
	id, _ := first["id"].(string)
	for _, kind := range []artifactv1.Kind{artifactv1.Kind_KIND_SOURCE, artifactv1.Kind_KIND_CERTS} {
		eventually(t, "it is kept", func() bool { return f.artifact.kept(id, kind) })
	}
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("android")).want(t, 409)
}

// TestUploadIsSubmittedWithOneRequest: the scheduler's submit is idempotent, so nothing is asked
// before it.
func TestUploadIsSubmittedWithOneRequest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	up, key := f.uploaded("the source"), hdr{"X-API-Key": adminKey}
	var gets atomic.Int32
	f.scheduler.onGet(func() { gets.Add(1) })
	first := f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 201)
	again := f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 201)
	if n := gets.Load(); n != 0 {
		t.Errorf("%d requests for the build, want none", n)
	}
	if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" || first.json(t)["id"] != again.json(t)["id"] {
		t.Errorf("first = %s %v, again = %s %v", first.body, first.header, again.body, again.header)
	}
}

// TestRepeatOfAnUploadWithOtherCerts: what the repeat brings beside the upload is stored nowhere,
// whether or not it is refused.
func TestRepeatOfAnUploadWithOtherCerts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	up, key := f.uploaded("the source"), hdr{"X-API-Key": adminKey}
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 201)
	objects := f.artifact.count()
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("android"), certs()).want(t, 409)
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios"), certs()).want(t, 201)
	if n := f.artifact.count(); n != objects {
		t.Errorf("%d objects, want %d", n, objects)
	}
}

// TestRepeatOfABoundedPriority: the scheduler stores the priority that the project allows. A repeat
// asks for the same as the first submit did, so it gets the build; one that asks for another
// priority does not.
func TestRepeatOfABoundedPriority(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupDB(t, open(t))
		key := hdr{"X-API-Key": adminKey}
		for _, c := range []struct {
			project, priority, other string
			stored                   float64
		}{{"", "50", "7", 10}, {"shop", "50", "4", 5}, {"", "-1000", "-99", -100}, {"", "3", "4", 3}} {
			up := f.uploaded("the source")
			submit := func(priority string) reply {
				return f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios"), part{"priority", "", priority}, part{"project", "", c.project})
			}
			first, again := submit(c.priority).want(t, 201).json(t), submit(c.priority).want(t, 201)
			if first["priority"] != c.stored || again.json(t)["id"] != first["id"] || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("priority %s: first = %v, again = %s", c.priority, first, again.body)
			}
			submit(c.other).want(t, 409)
		}
	})
}

// TestUploadWhoseFirstAnswerIsLost: the gateway repeats the submit itself, and the client is told
// of a new build.
func TestUploadWhoseFirstAnswerIsLost(t *testing.T) {
	t.Parallel()
	f := setup(t)
	up, key := f.uploaded("the source"), hdr{"X-API-Key": adminKey}
	f.scheduler.loseAnswers = 1
	r := f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 201)
	if r.header.Get("Idempotent-Replayed") != "" || f.scheduler.count() != 1 {
		t.Errorf("answer = %s %v, %d builds", r.body, r.header, f.scheduler.count())
	}
}

// TestUploadOfAnExpiredBuildIsGone: its repeat does not make the build anew.
func TestUploadOfAnExpiredBuildIsGone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	up, key := f.uploaded("the source"), hdr{"X-API-Key": adminKey}
	id, _ := f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 201).json(t)["id"].(string)
	f.scheduler.expire(id)
	r := f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 410)
	if expired, _ := r.json(t)["expired"].(map[string]any); r.json(t)["code"] != "build_expired" || expired["id"] != id || f.scheduler.count() != 0 {
		t.Errorf("answer = %s, %d builds; want what is left of build %s", r.body, f.scheduler.count(), id)
	}
}

// TestUploadOutlivesARefusal: what was sent once need not be sent again because a field was wrong
// or the queue full.
func TestUploadOutlivesARefusal(t *testing.T) {
	t.Parallel()
	f := setup(t)
	up, key := f.uploaded("the source"), hdr{"X-API-Key": adminKey}
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("beos")).want(t, 400)
	f.scheduler.fail(build.ErrQueueFull)
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios"), certs()).want(t, 429)
	f.scheduler.fail(nil)
	if n := f.artifact.count(); n != 1 {
		t.Errorf("%d objects, want the upload alone", n)
	}
	f.postForm("/api/v2/builds", key, upload(up.ID), platform("ios")).want(t, 201)
}

func TestUploadsThatAreNone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key, done := hdr{"X-API-Key": adminKey}, f.uploaded("the source")
	result := f.artifact.add(&object{build: "b9", kind: artifactv1.Kind_KIND_RESULT, stored: true})
	for name, parts := range map[string][]part{
		"unknown":        {upload("none"), platform("ios")},
		"no id":          {upload("../x"), platform("ios")},
		"not sent":       {upload(f.uploaded("").ID), platform("ios")},
		"a result":       {upload(result), platform("ios")},
		"source as well": {upload(done.ID), platform("ios"), source()},
	} {
		if r := f.postForm("/api/v2/builds", key, parts...); r.status != 400 {
			t.Errorf("%s: %d %s, want 400", name, r.status, r.body)
		}
	}
	f.postForm("/api/v2/builds", named("n"), upload(done.ID), platform("ios")).want(t, 400)
	f.postForm("/api/builds/submit", key, upload(done.ID), platform("ios")).want(t, 400) // API v1 knows no uploads
	f.do(http.MethodPost, "/api/v2/uploads", strings.NewReader("{"), key).want(t, 400)
	f.do(http.MethodPost, "/api/v2/uploads", strings.NewReader("{}"), nil).want(t, 401)
	if n := f.scheduler.count(); n != 0 {
		t.Errorf("%d builds, want none", n)
	}
}
