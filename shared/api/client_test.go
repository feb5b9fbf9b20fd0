package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/api/apitest"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func setup(t *testing.T, configs ...func(*api.Config)) (*apitest.Server, *api.Client) {
	t.Helper()
	s := apitest.New(t)
	cfg := api.Config{BaseURL: s.URL, Key: apitest.Key, RetryFor: 10 * time.Second}
	for _, f := range configs {
		f(&cfg)
	}
	c, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// noise is data that does not look alike at different places.
func noise(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + i>>8 + i>>16)
	}
	return data
}

func TestLifeOfABuild(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	ctx := t.Context()
	moved := 0
	sub, err := c.Builds.Submit(ctx, api.Submit{
		Platform: "ios", Project: "hello", Profile: "preview", Pool: "macs", Priority: -3,
		Source: bytes.NewReader(noise(300_000)), SourceName: "/home/me/app.zip", Certs: strings.NewReader("certs"),
		Progress: func(n int) { moved += n },
	})
	if err != nil || sub.ID == "" || sub.AccessToken != apitest.Token || sub.Project != "hello" {
		t.Fatalf("Submit = %+v, %v", sub, err)
	}
	got := s.Submissions()[0]
	want := apitest.Submission{
		Fields: map[string]string{"platform": "ios", "project": "hello", "profile": "preview", "pool": "macs", "priority": "-3"},
		Source: apitest.Object("app.zip", noise(300_000)), Certs: apitest.Object("certs.zip", []byte("certs")),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what arrived differs (-want +got):\n%s", diff)
	}
	if moved != 300_000 {
		t.Errorf("progress = %d bytes, want %d", moved, 300_000)
	}
	if b, err := c.Builds.Get(ctx, sub.ID); err != nil || b.Status != "pending" {
		t.Errorf("Build = %+v, %v", b, err)
	}
	if b, err := c.Builds.Cancel(ctx, sub.ID); err != nil || b.Status != "cancelled" {
		t.Errorf("Cancel = %+v, %v", b, err)
	}
	if _, err := c.Builds.Cancel(ctx, sub.ID); !errors.Is(err, build.ErrFinished) {
		t.Errorf("Cancel of a finished build = %v, want %v", err, build.ErrFinished)
	}
	if again, err := c.Builds.Retry(ctx, sub.ID); err != nil || again.RetryOf != sub.ID || again.ID == sub.ID {
		t.Errorf("Retry = %+v, %v", again, err)
	}
	if w, err := c.Workers.Join(ctx, api.JoinRequest{Name: "mac", Pool: "macs"}); err != nil || w.Pool != "macs" || w.Secret == "" {
		t.Errorf("JoinWorker = %+v, %v", w, err)
	}
	if err := c.Health(ctx); err != nil {
		t.Errorf("Health = %v", err)
	}
}

// TestOrdersWhoseAnswerIsLost: the server did what was asked, and the line broke; or it was busy at first.
func TestOrdersWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]apitest.Fault{"lost": {Lost: true}, "busy": {Status: 503, Detail: "not now"}} {
		s, c := setup(t)
		s.Add(api.Build{ID: "b1", Status: "building"}, nil)
		fault.Path = "/cancel"
		s.Break(fault)
		if b, err := c.Builds.Cancel(t.Context(), "b1"); err != nil || b.Status != "cancelled" {
			t.Errorf("%s: Cancel = %+v, %v", name, b, err)
		}
		fault.Path = "/retry"
		s.Break(fault)
		again, err := c.Builds.Retry(t.Context(), "b1")
		if err != nil || again.RetryOf != "b1" {
			t.Errorf("%s: Retry = %+v, %v", name, again, err)
		}
		if list, err := c.Builds.List(t.Context(), api.ListOptions{}); err != nil || len(list.Builds) != 2 {
			t.Errorf("%s: %d builds after one retry, %v", name, len(list.Builds), err)
		}
		s.Add(api.Build{ID: "b2", Status: "completed"}, nil)
		fault.Path = "/cancel"
		s.Break(fault)
		if _, err := c.Builds.Cancel(t.Context(), "b2"); !errors.Is(err, build.ErrFinished) {
			t.Errorf("%s: Cancel of a build that completed = %v, want %v", name, err, build.ErrFinished)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	for i := range 5 {
		s.Add(api.Build{ID: fmt.Sprintf("b%d", i), Status: []string{"pending", "failed"}[i%2]}, nil)
	}
	var ids []string
	for o := (api.ListOptions{Limit: 2}); ; {
		page, err := c.Builds.List(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Builds {
			ids = append(ids, b.ID)
		}
		if o.Before = page.Next; o.Before == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"b4", "b3", "b2", "b1", "b0"}, ids); diff != "" {
		t.Errorf("pages differ (-want +got):\n%s", diff)
	}
	page, err := c.Builds.List(t.Context(), api.ListOptions{Status: []string{"failed"}})
	if err != nil || len(page.Builds) != 2 || page.Builds[0].ID != "b3" {
		t.Errorf("Builds(failed) = %+v, %v", page, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault apitest.Fault
		is    error
		text  string
		after time.Duration
	}{
		{"code", apitest.Fault{Status: 404, Code: "build_not_found", Detail: "Build not found"}, build.ErrNotFound, "Build not found", 0},
		{"busy", apitest.Fault{Status: 429, Code: "queue_full", Detail: "the queue is full", RetryAfter: 7}, build.ErrQueueFull, "the queue is full", 7 * time.Second},
		{"unknown code", apitest.Fault{Status: 403, Code: "insufficient_scope", Detail: "lacks read"}, build.ErrUnauthorized, "lacks read", 0},
		{"unknown code and status", apitest.Fault{Status: 418, Code: "new", Detail: "teapot"}, nil, "teapot", 0},
		{"proxy", apitest.Fault{Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>bad gateway</html>")
		}}, build.ErrUnavailable, "the server answered 502 Bad Gateway", 0},
		{"disk full", apitest.Fault{Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInsufficientStorage) }}, build.ErrNoSpace, "the server answered 507 Insufficient Storage", 0},
		{"too large", apitest.Fault{Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }}, build.ErrTooLarge, "the server answered 413 Request Entity Too Large", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, c := setup(t)
			s.Break(tt.fault)
			_, err := c.Builds.Get(t.Context(), "b1")
			var refused *api.Error
			if !errors.As(err, &refused) || err.Error() != tt.text || refused.RetryAfter != tt.after {
				t.Fatalf("Build = %#v, want %q and %s", err, tt.text, tt.after)
			}
			if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && errors.Unwrap(refused) != nil {
				t.Errorf("Build = %v, want one that is %v", err, tt.is)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:3000", "ftp://x", "http://", "http://x?y=z", "http://a:secret@[bad"} {
		_, err := api.New(api.Config{BaseURL: bad})
		if !errors.Is(err, api.ErrBaseURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) = %v, want %v", bad, err, api.ErrBaseURL)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	c, err := api.New(api.Config{BaseURL: strings.Replace(dead.URL, "//", "//me:secret@", 1), Key: "a-key-that-is-secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Builds.Get(t.Context(), "b1")
	if !errors.Is(err, api.ErrUnreachable) {
		t.Fatalf("Build = %v, want %v", err, api.ErrUnreachable)
	}
	for _, want := range []string{"is it running?", "freeagent up", "--server", "FREEAGENT_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Build = %v, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("Build = %v, which tells a secret", err)
	}
}

func TestNotOurServer(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	s.Break(apitest.Fault{Handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }})
	_, err := c.Builds.Get(t.Context(), "b1")
	if !errors.Is(err, api.ErrUnreachable) || !strings.Contains(err.Error(), "not a Free Agent server") {
		t.Errorf("Build = %v", err)
	}
	s.Add(api.Build{ID: "b1", Status: "pending"}, nil)
	s.Break(apitest.Fault{CutAfter: 10})
	if _, err := c.Builds.Get(t.Context(), "b1"); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cut") {
		t.Errorf("Build with a cut answer = %v", err)
	}
}

// Whoever a server points to must not get the key.
func TestRedirectsKeepTheKey(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	var leaked string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = r.Header.Get("X-API-Key")
		fmt.Fprint(w, `{"id":"elsewhere"}`)
	}))
	defer other.Close()
	to := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusMovedPermanently)
	}
	s.Break(apitest.Fault{Handler: to, Times: 2})
	if b, err := c.Builds.Get(t.Context(), "b1"); err != nil || b.ID != "elsewhere" || leaked != "" {
		t.Errorf("Build = %+v, %v; the other host saw the key %q", b, err, leaked)
	}
	if _, err := c.Builds.Cancel(t.Context(), "b1"); err == nil || !strings.Contains(err.Error(), "redirects to "+other.URL) {
		t.Errorf("Cancel = %v, want the address that the server redirects to", err)
	}
}

func TestBuildTokenIsEnough(t *testing.T) {
	t.Parallel()
	s, c := setup(t, func(cfg *api.Config) { cfg.Key, cfg.BuildToken = "", apitest.Token })
	s.Add(api.Build{ID: "b1", Status: "completed"}, []byte("result"), "a line")
	b, err := c.Builds.Get(t.Context(), "b1")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Builds.DownloadResult(t.Context(), b, &out, 0, nil, nil); err != nil || out.String() != "result" {
		t.Errorf("Download = %q, %v", out.String(), err)
	}
	if _, err := c.Builds.List(t.Context(), api.ListOptions{}); !errors.Is(err, build.ErrUnauthorized) {
		t.Errorf("Builds = %v, want %v", err, build.ErrUnauthorized)
	}
}

// A wrong key is told before the source is read, however large it is.
func TestWrongKeyCostsNoUpload(t *testing.T) {
	t.Parallel()
	_, c := setup(t, func(cfg *api.Config) { cfg.Key = "wrong" })
	read := 0
	_, err := c.Builds.Submit(t.Context(), api.Submit{
		Platform: "ios", Source: io.LimitReader(zeros{}, 1<<30), Progress: func(n int) { read += n },
	})
	if err == nil || err.Error() != "Invalid API key" || read > 1<<20 {
		t.Errorf("Submit = %v after %d bytes, want the refusal before the bytes", err, read)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type breaking struct {
	n   int
	err error
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.n <= 0 {
		return 0, b.err
	}
	n := min(len(p), b.n)
	b.n -= n
	return n, nil
}

// What cannot be read here is the user's to hear, not what the server made of the half of it.
func TestSubmitTellsOfABrokenSource(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	cause := errors.New("the disk is on fire")
	_, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: &breaking{n: 1 << 20, err: cause}})
	if !errors.Is(err, cause) {
		t.Errorf("Submit = %v, want %v", err, cause)
	}
	if n := len(s.Submissions()); n != 0 {
		t.Errorf("%d builds were submitted, want none", n)
	}
}

func TestSubmitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, c := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := c.Builds.Submit(ctx, api.Submit{
		Platform: "ios", Source: io.LimitReader(zeros{}, 1<<40), Progress: func(int) { cancel() },
	})
	if !errors.Is(err, context.Canceled) || len(s.Submissions()) != 0 {
		t.Errorf("Submit = %v, want %v and nothing submitted", err, context.Canceled)
	}
}

func TestSubmitStalls(t *testing.T) {
	t.Parallel()
	s, c := setup(t, func(cfg *api.Config) { cfg.StallTimeout = 100 * time.Millisecond })
	s.Break(apitest.Fault{Path: "/objects", Silent: true, Times: 100})
	_, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: io.LimitReader(zeros{}, 1<<40)})
	if !errors.Is(err, api.ErrStalled) {
		t.Errorf("Submit = %v, want %v", err, api.ErrStalled)
	}
}

// 200 MB go through while the heap stays small.
func TestSubmitHoldsLittleInMemory(t *testing.T) {
	s, c := setup(t)
	const size = 200 << 20
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak, sent := uint64(0), 0
	_, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: io.LimitReader(zeros{}, size), Progress: func(n int) {
		if sent += n; sent>>24 != (sent-n)>>24 { // every 16 MiB
			runtime.GC() // what is garbage counts for nothing
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	}})
	if err != nil || s.Submissions()[0].Source.Size != size {
		t.Fatalf("Submit = %v", err)
	}
	// Two pieces here, and two in the server, which is part of this process.
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 5*api.AppendBytes {
		t.Errorf("the heap grew by %d bytes, want at most five pieces", grown)
	}
}
