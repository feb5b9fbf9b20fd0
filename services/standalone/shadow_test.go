package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/cli/shadow"
)

// submitV1 submits as the deployed command-line client does.
func (w *v1) submitV1() (id string) {
	w.t.Helper()
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	part, err := form.CreateFormFile("source", "project.tar.gz")
	if err == nil {
		_, err = part.Write(project(w.t).Bytes())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if err := form.WriteField("platform", "ios"); err != nil {
		w.t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	var answer struct{ ID string }
	if code := w.call(http.MethodPost, "/api/builds/submit", form.FormDataContentType(), &buf, &answer); code != http.StatusOK || answer.ID == "" {
		w.t.Fatalf("submit = %d", code)
	}
	return answer.ID
}

// TestShadowOfAServer: a worker and a client of the former controller behind the proxy, two servers of ours behind it. All that one answers
// the other does too; and where it does not, the summary says so. When the shadow dies, nobody notices.
func TestShadowOfAServer(t *testing.T) {
	t.Parallel()
	primary, other := newFarm(t), newFarm(t)
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	p := shadow.NewProxy(shadow.Config{
		Primary: parse(primary.url()), Shadow: parse(other.url()), MaxBody: 16 << 20, Spool: 64 << 20, Queue: 1000, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx, context.Background()) }()
	front := httptest.NewServer(p)
	t.Cleanup(func() { front.Close(); cancel(); <-done })

	w := &v1{t: t, url: front.URL, key: farmKey}
	w.register("ios")
	for range 3 {
		id := w.submitV1()
		if got := w.poll(); got != id {
			t.Fatalf("poll = %s, want %s", got, id)
		}
		if source := w.get("/api/builds/" + id + "/source"); len(source) == 0 {
			t.Error("no source")
		}
		w.post("/api/builds/"+id+"/logs", `{"level":"info","message":"Installing dependencies"}`)
		if code := w.upload(id, "true", "the app of the day", true); code != http.StatusOK {
			t.Fatalf("upload = %d", code)
		}
		for _, path := range []string{"/status", "/logs", "/download"} {
			w.get("/api/builds/" + id + path)
		}
	}
	w.get("/api/builds")
	w.get("/api/stats")
	if code := w.post("/api/builds/no-such-build-at-all/cancel", ""); code != http.StatusNotFound {
		t.Errorf("cancel of nothing = %d", code)
	}
	s := settled(t, p, 28)
	if s.Same != 28 {
		t.Errorf("summary = %s, want 28 answers the same and nothing else", asJSON(t, p))
	}

	behind := &v1{t: t, url: other.url(), key: farmKey, id: w.id}
	w.get("/api/builds")
	settled(t, p, 29)
	behind.submitV1() // the shadow has a build that the primary has not: it is none of the client's
	w.get("/api/builds")
	if s := settled(t, p, 30); s.Differ != 0 {
		t.Errorf("summary = %s, want no difference for a build that only the shadow has", asJSON(t, p))
	}
	mine := w.submitV1()
	settled(t, p, 31)
	if code := behind.post("/api/builds/"+newest(behind)+"/cancel", ""); code != http.StatusOK {
		t.Fatalf("cancel at the shadow = %d", code)
	}
	w.get("/api/builds/" + mine + "/status")
	if s := settled(t, p, 32); s.Differ != 1 {
		t.Errorf("summary = %s, want one difference", asJSON(t, p))
	}
	other.kill()
	w.get("/api/builds/" + mine + "/status")
	if s := settled(t, p, 33); s.Failed != 1 {
		t.Errorf("summary = %s, want one that failed", asJSON(t, p))
	}
}

// settled waits until so many requests have been dealt with.
func settled(t *testing.T, p *shadow.Proxy, n int64) shadow.Summary {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		s := p.Tally.Sum()
		if s.Same+s.Differ+s.Skipped+s.Failed >= n {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("summary stays %s, want %d requests", asJSON(t, p), n)
		}
	}
}

func asJSON(t *testing.T, p *shadow.Proxy) string {
	t.Helper()
	var buf bytes.Buffer
	if err := p.Tally.Write(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// newest is the newest build of a server.
func newest(w *v1) string {
	w.t.Helper()
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(w.get("/api/builds")), &list); err != nil {
		w.t.Fatal(err)
	}
	if len(list) == 0 {
		return ""
	}
	return list[0].ID
}
