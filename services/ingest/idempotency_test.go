package ingest_test

import (
	"errors"
	"io"
	"mime/multipart"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func named(name string) hdr { return hdr{"X-API-Key": adminKey, "Idempotency-Key": name} }

// TestNamedSubmitIsOneBuild: sent again it is the same, whatever became of the answer, and what it brought again is not kept.
func TestNamedSubmitIsOneBuild(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first := f.postForm("/api/v2/builds", named("a-1"), platform("ios"), source()).want(t, 201)
	objects := f.artifact.count()
	again := f.postForm("/api/v2/builds", named("a-1"), source(), platform("ios")).want(t, 201)
	if first.json(t)["id"] != again.json(t)["id"] || first.json(t)["access_token"] != again.json(t)["access_token"] {
		t.Errorf("first = %s, again = %s", first.body, again.body)
	}
	if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replayed: %q and %q", first.header.Get("Idempotent-Replayed"), again.header.Get("Idempotent-Replayed"))
	}
	if f.scheduler.count() != 1 || f.artifact.count() != objects {
		t.Errorf("%d builds, %d objects, want 1 and %d", f.scheduler.count(), f.artifact.count(), objects)
	}
	f.postForm("/api/v2/builds", named("a-1"), platform("android"), source()).want(t, 422)
	other := f.postForm("/api/v2/builds", named("a-2"), platform("ios"), source()).want(t, 201)
	if other.json(t)["id"] == first.json(t)["id"] {
		t.Error("another name is the same build")
	}
	f.postForm("/api/v2/builds", named("ä"), platform("ios"), source()).want(t, 400)
}

// TestNamedSubmitThatFailed leaves its name free.
func TestNamedSubmitThatFailed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.postForm("/api/v2/builds", named("b"), source()).want(t, 400)
	f.scheduler.fail(build.ErrQueueFull)
	f.postForm("/api/v2/builds", named("b"), source(), platform("ios")).want(t, 429)
	f.scheduler.fail(nil)
	if r := f.postForm("/api/v2/builds", named("b"), source(), platform("ios")).want(t, 201); r.header.Get("Idempotent-Replayed") != "" {
		t.Error("what had failed is replayed")
	}
}

// TestNamedSubmitUnderWay: the second of two at once is told to wait; after the first it is a repeat.
func TestNamedSubmitUnderWay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	done := make(chan reply, 1)
	go func() {
		h := named("c")
		h["Content-Type"] = form.FormDataContentType()
		done <- f.do("POST", "/api/v2/builds", pr, h)
	}()
	err := form.WriteField("platform", "ios")
	if err != nil {
		t.Fatal(err)
	}
	streamed := part{"source", "project.tar.gz", noise(2 * api.SmallObject)} // moves on before all of it is here
	file, err := form.CreateFormFile(streamed.name, streamed.file)
	if err == nil {
		_, err = io.WriteString(file, streamed.content)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-f.artifact.arrived
	f.postForm("/api/v2/builds", named("c"), platform("ios"), streamed).want(t, 409)
	if err := errors.Join(form.Close(), pw.Close()); err != nil {
		t.Fatal(err)
	}
	first := (<-done).want(t, 201)
	again := f.postForm("/api/v2/builds", named("c"), platform("ios"), streamed).want(t, 201)
	if first.json(t)["id"] != again.json(t)["id"] {
		t.Errorf("first = %s, again = %s", first.body, again.body)
	}
}

func TestNamedRetry(t *testing.T) {
	t.Parallel()
	f := setup(t)
	old, _ := f.submit(platform("ios"), source())
	path := "/api/v2/builds/" + old + "/retry"
	first := f.do("POST", path, nil, named("r")).want(t, 201).json(t)["id"]
	again := f.do("POST", path, nil, named("r")).want(t, 201)
	if again.json(t)["id"] != first || again.header.Get("Idempotent-Replayed") != "true" || f.scheduler.count() != 2 {
		t.Errorf("again = %s, want build %v", again.body, first)
	}
	f.do("POST", "/api/v2/builds/"+first.(string)+"/retry", nil, named("r")).want(t, 422)
}
