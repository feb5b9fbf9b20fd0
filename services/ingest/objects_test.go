package ingest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
)

func TestObjectsPassThrough(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.artifact.add(&object{kind: artifactv1.Kind_KIND_RESULT})
	ticket := hdr{api.TicketHeader: id, "X-API-Key": adminKey, "Authorization": "Bearer " + adminKey, "X-Request-Id": "r1"}
	r := f.do("PUT", api.ObjectsPath, strings.NewReader("0123456789"), ticket).want(t, 200)
	if m := r.json(t); m["object_id"] != id || m["size"] != 10.0 || r.header.Get("X-Request-Id") != "r1" || len(r.header.Values("X-Request-Id")) != 1 {
		t.Errorf("PUT = %v %v", m, r.header)
	}
	if h := f.artifact.headers; h.Get("X-API-Key") != "" || h.Get("Authorization") != "" || h.Get("X-Request-Id") != "r1" {
		t.Errorf("passed on: %v", h)
	}
	if r := f.do("GET", api.ObjectsPath, nil, ticket).want(t, 200); string(r.body) != "0123456789" {
		t.Errorf("GET = %q", r.body)
	}
	if r := f.do("HEAD", api.ObjectsPath, nil, ticket).want(t, 200); r.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD = %v", r.header)
	}
	h := hdr{api.TicketHeader: id, "Range": "bytes=2-3"}
	if r := f.do("GET", api.ObjectsPath, nil, h).want(t, 206); string(r.body) != "23" {
		t.Errorf("range = %q", r.body)
	}
	f.do("GET", api.ObjectsPath, nil, withKey()).want(t, 403)
	f.do("POST", api.ObjectsPath, nil, ticket).want(t, 405)
}

// TestObjectsRefusalIsHeard: the worker gets the artifact service's no while it still sends.
func TestObjectsRefusalIsHeard(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.artifact.add(&object{kind: artifactv1.Kind_KIND_RESULT})
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for chunk := make([]byte, 64<<10); ; {
			if _, err := pw.Write(chunk); err != nil {
				return
			}
		}
	}()
	r := f.do("PUT", api.ObjectsPath, pr, hdr{api.TicketHeader: id})
	pr.Close()
	<-done
	r.want(t, 413)
	if !strings.Contains(string(r.body), "too_large") {
		t.Errorf("answer = %s", r.body)
	}
}

func TestArtifactServiceAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	done := f.finished("ios", "a.ipa", "x")
	d := f.deps(f.bus.Connect("cut off"), issuer(t))
	d.ArtifactURL = "http://127.0.0.1:1"
	g, err := ingest.New(t.Context(), f.cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	other := *f
	other.serve(g.Handler())
	before := f.artifact.count()
	for name, r := range map[string]reply{
		"submit":   other.postForm("/api/builds/submit", withKey(), large(), platform("ios")),
		"download": other.get("/api/builds/" + done + "/download"),
		"transfer": other.do("PUT", api.ObjectsPath, strings.NewReader("x"), hdr{api.TicketHeader: "t"}),
	} {
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || strings.Contains(string(r.body), "127.0.0.1") {
			t.Errorf("%s = %d %s %v", name, r.status, r.body, r.header)
		}
	}
	if n := f.artifact.count(); n != before {
		t.Errorf("%d objects, want %d", n, before)
	}
}

// TestBrokenDownloadIsNoWholeFile: when the far end breaks off, so does the connection.
func TestBrokenDownloadIsNoWholeFile(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.finished("ios", "a.ipa", "x")
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte("half"))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer far.Close()
	d := f.deps(f.bus.Connect("second"), issuer(t))
	d.ArtifactURL = far.URL
	g, err := ingest.New(t.Context(), f.cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	f.serve(g.Handler())
	for path, h := range map[string]hdr{"/api/builds/" + id + "/download": withKey(), api.ObjectsPath: {api.TicketHeader: "t"}} {
		resp, err := http.DefaultClient.Do(f.request("GET", path, nil, h))
		if err != nil {
			continue // cut before the first bytes: no file either
		}
		if data, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s gave %q as if it were whole", path, data)
		}
		resp.Body.Close()
	}
}
