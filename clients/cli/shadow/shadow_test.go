package shadow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
)

// pair is a proxy between two far ends that the test plays.
type pair struct {
	t     *testing.T
	proxy *Proxy
	url   string
	// end stops the proxy and lets the shadow's queue run empty.
	end func()
}

func newPair(t *testing.T, primary, shadow http.HandlerFunc, configure ...func(*Config)) *pair {
	t.Helper()
	var at [2]*url.URL
	for i, h := range []http.HandlerFunc{primary, shadow} {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		at[i] = u
	}
	cfg := Config{Primary: at[0], Shadow: at[1], MaxBody: 1 << 20, Spool: 4 << 20, Queue: 100, Log: slog.New(slog.DiscardHandler)}
	for _, c := range configure {
		c(&cfg)
	}
	p := NewProxy(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx, context.Background()) }()
	front := httptest.NewServer(p)
	end := func() { front.Close(); cancel(); <-done }
	t.Cleanup(end)
	return &pair{t: t, proxy: p, url: front.URL, end: end}
}

func (p *pair) do(method, path, body string, header ...string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

func (p *pair) summary() Summary {
	p.t.Helper()
	p.end()
	var buf bytes.Buffer
	if err := p.proxy.Tally.Write(&buf); err != nil {
		p.t.Fatal(err)
	}
	var s Summary
	if err := json.Unmarshal(buf.Bytes(), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

func says(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

// TestComparison: ids that stand for each other, times and secrets are put aside; the rest counts.
func TestComparison(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.learn("primary-build", "shadow-build")
	for name, c := range map[string]struct {
		route, primary, shadow string
		want                   []string
	}{
		"same":              {"GET /api/builds/:id/status", `{"id":"primary-build","n":1700000000000,"x":null}`, `{"id":"shadow-build","n":1800000000000,"x":null}`, nil},
		"value":             {"GET /api/builds/:id/status", `{"status":"pending"}`, `{"status":"failed"}`, []string{".status"}},
		"absent":            {"GET /api/builds/:id/status", `{"a":1}`, `{"b":1}`, []string{".a", ".b"}},
		"null is no zero":   {"GET /api/builds/:id/status", `{"a":null}`, `{"a":0}`, []string{".a"}},
		"small numbers":     {"GET /api/builds/:id/status", `{"a":1}`, `{"a":2}`, []string{".a"}},
		"stranger in list":  {"GET /api/builds", `[{"id":"older-build"},{"id":"primary-build","s":"a"}]`, `[{"id":"shadow-build","s":"a"},{"id":"its-own-one"}]`, nil},
		"list":              {"GET /api/builds", `[{"id":"primary-build","s":"a"}]`, `[]`, []string{""}},
		"log":               {"GET /api/builds/:id/logs", `{"logs":[{"message":"retry of primary-build"}]}`, `{"logs":[{"message":"retry of shadow-build"}]}`, nil},
		"figures":           {"GET /api/stats", `{"totalBuilds":100}`, `{"totalBuilds":3}`, nil},
		"shape of figures":  {"GET /api/stats", `{"totalBuilds":100}`, `{"totalBuilds":"3"}`, []string{".totalBuilds"}},
		"token":             {"POST /api/builds/submit", `{"access_token":"aaaaaaaaa"}`, `{"access_token":"bbbbbbbbb"}`, nil},
		"array for object":  {"GET /api/builds", `[]`, `{}`, []string{""}},
		"iso time":          {"GET /api/builds", `[{"at":"2026-01-01T00:00:00.000Z"}]`, `[{"at":"2027-01-01T00:00:00.000Z"}]`, nil},
		"time and no time":  {"GET /api/builds", `[{"at":"2026-01-01T00:00:00.000Z"}]`, `[{"at":"never"}]`, []string{"[0].at"}},
		"number for string": {"GET /api/builds", `[{"at":1}]`, `[{"at":"1"}]`, []string{"[0].at"}},
	} {
		var got []string
		answer := func(text string) answer {
			return answer{status: 200, contentType: "application/json", json: []byte(text)}
		}
		for _, d := range b.differences(c.route, answer(c.primary), answer(c.shadow)) {
			got = append(got, d.Where)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestShadowNeverDisturbs: the client's answers are the primary's, whether the shadow hangs, is gone or says something else.
func TestShadowNeverDisturbs(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	p := newPair(t, says("application/json", `{"status":"ok"}`), func(w http.ResponseWriter, _ *http.Request) {
		<-hang
		panic(http.ErrAbortHandler)
	}, func(c *Config) { c.Queue = 3 })
	begun := time.Now()
	for range 20 {
		if got := p.do("GET", "/health", ""); got != `{"status":"ok"}` {
			t.Errorf("answer = %s", got)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("20 answers took %s while the shadow hangs", took)
	}
	close(hang)
	s := p.summary()
	if s.Failed < 3 || s.Skipped < 10 || s.Failed+s.Skipped != 20 || s.ByRoutes["GET /health"].Reasons["queue full"] != s.Skipped {
		t.Errorf("summary = %+v, %+v", s, s.ByRoutes["GET /health"])
	}
}

// TestBodies: what is small arrives whole with its ids changed, what is large is left out and counted, and nothing of the spool stays.
func TestBodies(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	p := newPair(t, says("application/json", `{"id":"primary-id"}`), func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got <- fmt.Sprintf("%s %s %d %.60s", r.Header.Get("X-Worker-Id"), r.URL.RequestURI(), len(data), data)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"shadow-id"}`)
	})
	p.do("POST", "/api/workers/register", `{"name":"mini"}`)
	p.do("POST", "/api/builds/primary-id/logs?x=primary-id", `{"message":"primary-id "broken" JSON"}`, "X-Worker-Id", "primary-id")
	p.do("POST", "/api/builds/submit", strings.Repeat("x", 900<<10))
	p.do("POST", "/api/builds/submit", strings.Repeat("x", 1100<<10))
	s := p.summary()
	close(got)
	var all []string
	for g := range got {
		all = append(all, g)
	}
	want := []string{
		` /api/workers/register? 15 {"name":"mini"}`, `shadow-id /api/builds/shadow-id/logs?x=shadow-id 37 {"message":"shadow-id "broken" JSON"}`,
		" /api/builds/submit? 921600 " + strings.Repeat("x", 60),
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "? ", " ")
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("the shadow got (-want +got):\n%s", diff)
	}
	if r := s.ByRoutes["POST /api/builds/submit"]; r.Skipped != 1 || r.Same != 1 || s.Differ != 0 {
		t.Errorf("summary = %+v, %+v", s, r)
	}
	if held := p.proxy.depot.held.Load(); held != 0 {
		t.Errorf("the spool holds %d bytes at the end", held)
	}
}

// TestOnlyV1IsMirrored, and what is about builds from before is left out.
func TestOnlyV1IsMirrored(t *testing.T) {
	t.Parallel()
	p := newPair(t, says("text/plain", "primary"), func(http.ResponseWriter, *http.Request) { t.Error("the shadow was asked") })
	p.do("GET", "/api/v2/builds", "")
	p.do("GET", "/", "")
	p.do("GET", "/api/builds/an-older-build/status", "")
	p.do("GET", "/api/workers/poll?worker_id=an-older-worker", "")
	if s := p.summary(); s.Skipped != 2 || s.Same+s.Differ+s.Failed != 0 {
		t.Errorf("summary = %+v", s)
	}
}

// TestCommand runs the proxy as it is typed, until it is told to stop; then the summary is there.
func TestCommand(t *testing.T) {
	t.Parallel()
	primary, other := httptest.NewServer(says("application/json", `{"a":1}`)), httptest.NewServer(says("application/json", `{"a":2}`))
	t.Cleanup(primary.Close)
	t.Cleanup(other.Close)
	var out bytes.Buffer
	at := make(chan string, 1)
	o := &options{
		io: session.IO{Out: &out, Err: io.Discard, Getenv: func(string) string { return "" }}, primary: primary.URL, shadow: other.URL,
		listen: "127.0.0.1:0", maxBody: 1, spool: 1, queue: 10, every: time.Hour, ready: func(a net.Addr) { at <- a.String() },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, o) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+<-at+"/api/builds", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var s Summary
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Differ != 1 || s.ByRoutes["GET /api/builds"].Examples[0].Where != ".a" {
		t.Errorf("summary = %s, %v", out.String(), err)
	}
	for _, spoil := range []func(*options){func(o *options) { o.primary = "" }, func(o *options) { o.queue = 0 }} {
		bad := *o
		spoil(&bad)
		if err := run(t.Context(), &bad); err == nil {
			t.Error("a call that makes no sense ran")
		}
	}
}
