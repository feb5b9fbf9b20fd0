package ingest_test

import (
	"errors"
	"io"
	"mime/multipart"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func named(name string) hdr { return hdr{"X-API-Key": adminKey, "Idempotency-Key": name} }

// TestNamedSubmitIsOneBuild: sent again it is the same, whatever became of the answer, and what it
// brought again is not kept.
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

// slowSubmit is a submit whose first bytes the gateway has. finish sends the rest.
type slowSubmit struct {
	t      *testing.T
	form   *multipart.Writer
	body   *io.PipeWriter
	answer chan reply
	source part
}

// beginSubmit starts a submit with an idempotency key.
func (f *farm) beginSubmit(t *testing.T, key string) *slowSubmit {
	t.Helper()
	pr, pw := io.Pipe()
	s := &slowSubmit{
		t: t, form: multipart.NewWriter(pw), body: pw, answer: make(chan reply, 1),
		source: part{"source", "project.tar.gz", noise(2 * api.SmallObject)}, // moves on before all of it is here
	}
	go func() {
		h := named(key)
		h["Content-Type"] = s.form.FormDataContentType()
		s.answer <- f.do("POST", "/api/v2/builds", pr, h)
	}()
	err := s.form.WriteField("platform", "ios")
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.form.CreateFormFile(s.source.name, s.source.file)
	if err == nil {
		_, err = io.WriteString(file, s.source.content)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-f.artifact.arrived
	return s
}

func (s *slowSubmit) finish() reply {
	s.t.Helper()
	if err := errors.Join(s.form.Close(), s.body.Close()); err != nil {
		s.t.Fatal(err)
	}
	return <-s.answer
}

// repeat sends the same submit again, whole.
func (f *farm) repeat(key string, s *slowSubmit) <-chan reply {
	answer := make(chan reply, 1)
	go func() { answer <- f.postForm("/api/v2/builds", named(key), platform("ios"), s.source) }()
	return answer
}

// TestNamedSubmitUnderWay: the repeat of a submit that is under way waits for it, at the same
// gateway and at another one.
func TestNamedSubmitUnderWay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.another()
	s := f.beginSubmit(t, "c")
	here, there := f.repeat("c", s), other.repeat("c", s)
	select {
	case r := <-here:
		t.Fatalf("the repeat was answered before the first: %d %s", r.status, r.body)
	case r := <-there:
		t.Fatalf("the repeat at the other gateway was answered before the first: %d %s", r.status, r.body)
	case <-time.After(6 * time.Second): // longer than a process without a sign of life counts as alive
	}
	first := s.finish().want(t, 201)
	for _, again := range []reply{(<-here).want(t, 201), (<-there).want(t, 201)} {
		if first.json(t)["id"] != again.json(t)["id"] || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("first = %s, again = %s", first.body, again.body)
		}
	}
	if n := f.scheduler.count(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

// TestNamedSubmitOfAFailedFirst: the repeat that waited goes on in its place.
func TestNamedSubmitOfAFailedFirst(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s := f.beginSubmit(t, "c")
	again := f.repeat("c", s)
	if err := s.form.WriteField("priority", "high"); err != nil {
		t.Fatal(err)
	}
	s.finish().want(t, 400)
	if r := (<-again).want(t, 201); r.header.Get("Idempotent-Replayed") != "" {
		t.Error("what had failed is replayed")
	}
}

// TestNamedSubmitOfADeadGateway: a repeat takes over from a process that shows no sign of life, and
// when that process goes on nevertheless, there is one build.
func TestNamedSubmitOfADeadGateway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.another()
	s := f.beginSubmit(t, "d")
	f.freeze()
	began := time.Now()
	again := (<-other.repeat("d", s)).want(t, 201)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the repeat was answered after %s", took)
	}
	other.postForm("/api/v2/builds", named("d"), platform("android"), s.source).want(t, 422)
	late := s.finish().want(t, 201)
	if late.json(t)["id"] != again.json(t)["id"] || f.scheduler.count() != 1 {
		t.Errorf("late = %s, again = %s; %d builds, want one", late.body, again.body, f.scheduler.count())
	}
}

// TestNamedSubmitOfUnknownOutcome: when the scheduler does not answer, the repeat finds out at once
// what became of the first.
func TestNamedSubmitOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.scheduler.fail(build.ErrUnavailable)
	r := f.postForm("/api/v2/builds", named("u"), platform("ios"), source()).want(t, 503)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.scheduler.fail(nil)
	f.postForm("/api/v2/builds", named("u"), platform("ios"), source()).want(t, 201)
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
