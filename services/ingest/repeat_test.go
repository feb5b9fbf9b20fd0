package ingest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// line is a connection of a client that can be cut, and what the gateway knows of it.
type line struct {
	net.Conn
	// request is the context of the request on it, once the gateway has begun it.
	request chan context.Context
}

// watched makes the gateway tell of each request's context.
func (f *farm) watched() *line {
	f.t.Helper()
	l := &line{request: make(chan context.Context, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.request <- r.Context()
		f.gateway.Handler().ServeHTTP(w, r)
	}))
	f.t.Cleanup(server.Close)
	conn, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	l.Conn = conn
	return l
}

// cut ends the line as a client does that gives up: in an orderly way, or with a reset.
func (l *line) cut(t testing.TB, reset bool) {
	t.Helper()
	if tcp, ok := l.Conn.(*net.TCPConn); ok && reset {
		if err := tcp.SetLinger(0); err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func formOf(t testing.TB, path string, parts ...part) []byte {
	t.Helper()
	var form, req bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := write(w, parts...); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&req, "POST %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		path, adminKey, w.FormDataContentType(), form.Len())
	return append(req.Bytes(), form.Bytes()...)
}

// lose submits over a line that is cut after the scheduler has acknowledged and before the gateway
// can answer; it gives the id of the build that nobody was told of.
func (f *farm) lose(path string, reset bool, parts ...part) (id string) {
	f.t.Helper()
	l, noticed, before := f.watched(), make(chan string, 1), f.log.count("msg=request")
	f.scheduler.onSubmitted(func(id string) {
		l.cut(f.t, reset)
		<-(<-l.request).Done() // the gateway has seen it
		noticed <- id
	})
	if _, err := l.Write(formOf(f.t, path, parts...)); err != nil {
		f.t.Fatal(err)
	}
	id = <-noticed
	f.scheduler.onSubmitted(nil)
	eventually(f.t, "the gateway has dealt with it", func() bool { return f.log.count("msg=request") > before })
	return id
}

func lost() []part { return []part{source(), certs(), platform("ios")} }

// answered submits and gives the whole answer.
func (f *farm) answered(parts ...part) map[string]any {
	f.t.Helper()
	return f.postForm("/api/builds/submit", withKey(), parts...).want(f.t, 200).json(f.t)
}

func TestRepeatOfAnUnansweredSubmit(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]bool{"closed": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			id := f.lose("/api/builds/submit", reset, lost()...)
			objects := f.artifact.count()
			m := f.answered(lost()...)
			if m["id"] != id || m["status"] != "pending" || m["access_token"] == "" || m["submitted_at"].(float64) == 0 {
				t.Fatalf("the repeat's answer = %v, want build %s", m, id)
			}
			f.do("GET", "/api/builds/"+id+"/status", nil, hdr{"X-Build-Token": m["access_token"].(string)}).want(t, 200)
			if n := f.artifact.count(); n != objects || f.scheduler.count() != 1 {
				t.Errorf("%d objects of %d, %d builds: want the repeat's upload discarded", n, objects, f.scheduler.count())
			}
			if m := f.answered(lost()...); m["id"] == id { // once
				t.Errorf("a deliberate second submit got the first build")
			}
		})
	}
}

// TestRepeatThatIsLostToo: the client sends up to three times, and may leave at any moment of the
// second.
func TestRepeatThatIsLostToo(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(*farm, func()){
		"while its build is looked up":  func(f *farm, cut func()) { f.scheduler.onGet(cut) },
		"while its upload is discarded": func(f *farm, cut func()) { f.artifact.onDiscard(cut) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			id := f.lose("/api/builds/submit", true, lost()...)
			objects, l := f.artifact.count(), f.watched()
			at(f, sync.OnceFunc(func() {
				l.cut(t, false)
				<-(<-l.request).Done()
			}))
			if _, err := l.Write(formOf(t, "/api/builds/submit", lost()...)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the second request is over", func() bool { return f.log.count("msg=request") == 2 && f.artifact.count() == objects })
			if m := f.answered(lost()...); m["id"] != id || f.scheduler.count() != 1 {
				t.Errorf("the third try = %v, want build %s, of %d", m, id, f.scheduler.count())
			}
		})
	}
}

func TestNoRepeat(t *testing.T) {
	t.Parallel()
	other := part{"source", "project.tar.gz", "another source"}
	for name, parts := range map[string][]part{
		"other source":   {other, certs(), platform("ios")},
		"other platform": {source(), certs(), platform("android")},
		"no certs":       {source(), platform("ios")},
		"other certs":    {source(), {"certs", "c", p12()}, platform("ios")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			id := f.lose("/api/builds/submit", false, lost()...)
			if m := f.answered(parts...); m["id"] == id {
				t.Error("it got the build of another submit")
			}
			if m := f.answered(lost()...); m["id"] != id {
				t.Errorf("the true repeat got %v, want %s", m["id"], id)
			}
		})
	}
	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		if a, b := f.answered(lost()...), f.answered(lost()...); a["id"] == b["id"] {
			t.Errorf("both are %v", a["id"])
		}
	})
	t.Run("cancelled meanwhile", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		id := f.lose("/api/builds/submit", false, lost()...)
		f.post("/api/builds/"+id+"/cancel").want(t, 200)
		if m := f.answered(lost()...); m["id"] == id {
			t.Error("it got a cancelled build")
		}
	})
	t.Run("too late", func(t *testing.T) {
		t.Parallel()
		f := setup(t, func(c *ingest.Config) { c.SubmitRetryWindow = time.Millisecond })
		id := f.lose("/api/builds/submit", false, lost()...)
		f.becomes(id, "cancelled")
		if m := f.answered(lost()...); m["id"] == id {
			t.Error("it got a build that was rolled back")
		}
	})
}

// TestTwoRepeatsAtOnce: one gets the build, the other a new one.
func TestTwoRepeatsAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.lose("/api/builds/submit", false, lost()...)
	var mu sync.Mutex
	var all sync.WaitGroup
	ids := map[any]int{}
	for range 4 {
		all.Go(func() {
			m := f.answered(lost()...)
			mu.Lock()
			defer mu.Unlock()
			ids[m["id"]]++
		})
	}
	all.Wait()
	if len(ids) != 4 || ids[id] != 1 {
		t.Errorf("answers = %v, want four builds, %s among them", ids, id)
	}
}

func (f *farm) becomes(id, state string) {
	f.t.Helper()
	eventually(f.t, id+" is "+state, func() (is bool) {
		f.scheduler.set(id, func(b *schedulerv1.Build) { is = b.GetState() == state })
		return is
	})
}

func TestRollBack(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.SubmitRetryWindow = 50 * time.Millisecond })
	waiting := f.lose("/api/builds/submit", false, lost()...)
	f.becomes(waiting, "cancelled")
	if why := f.scheduler.whyCancelled(waiting); !strings.Contains(why, "The submitter left") {
		t.Errorf("reason = %q", why)
	}

	f.scheduler.born("building")
	begun := f.lose("/api/builds/submit", true, part{"source", "a", "second source"}, platform("ios"))
	f.scheduler.born("")
	later := f.lose("/api/builds/submit", true, part{"source", "a", "third source"}, platform("ios"))
	f.becomes(later, "cancelled") // so the one before it was looked at
	f.becomes(begun, "building")
}

// TestRollBackWaitsForTheScheduler: what cannot be done now is done later.
func TestRollBackWaitsForTheScheduler(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.SubmitRetryWindow = 50 * time.Millisecond })
	f.scheduler.failCancel(errors.New("out of order"))
	id := f.lose("/api/builds/submit", false, lost()...)
	eventually(t, "it was tried", func() bool { return f.log.contains("roll back unanswered submits") })
	f.scheduler.failCancel(nil)
	f.becomes(id, "cancelled")
}

// TestLeavingAfterTheAnswer: a client that has its answer may close at once.
func TestLeavingAfterTheAnswer(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.SubmitRetryWindow = 10 * time.Millisecond })
	l := f.watched()
	if _, err := l.Write(formOf(t, "/api/builds/submit", lost()...)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(l), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	l.cut(t, true)
	<-(<-l.request).Done()
	data, err := io.ReadAll(resp.Body) // it came with the header
	if err != nil && len(data) == 0 || resp.StatusCode != http.StatusOK {
		t.Fatalf("answer = %d %s, %v", resp.StatusCode, data, err)
	}
	if f.log.contains("submit unanswered") {
		t.Error("an answered submit was taken for an unanswered one")
	}
}

// TestV2IsNotRepeatedByContent: clients of API v2 say themselves what is a repeat.
func TestV2IsNotRepeatedByContent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.lose("/api/builds/submit", false, lost()...)
	r := f.postForm(api.Path+"/builds", withKey(), lost()...).want(t, 201)
	if r.json(t)["id"] == id {
		t.Error("it got the build of API v1")
	}
}
