package standalone_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// cable is the network to an engine. Shut, connections end and new ones are refused; muffled, they stay and nothing passes.
type cable struct {
	t           *testing.T
	network, to string
	at          string

	mu      sync.Mutex
	l       net.Listener
	conns   map[net.Conn]bool
	down    bool          // shut: who was let in just before has to go, too
	muffled chan struct{} // closed: bytes pass
	wg      sync.WaitGroup
}

func newCable(t *testing.T, network, to string) *cable {
	t.Helper()
	g := &cable{t: t, network: network, to: to, at: "127.0.0.1:0", conns: map[net.Conn]bool{}, muffled: make(chan struct{})}
	close(g.muffled)
	g.open()
	t.Cleanup(func() {
		g.shut()
		g.wg.Wait()
	})
	return g
}

func (g *cable) open() {
	g.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", g.at)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.l, g.at, g.down = l, l.Addr().String(), false
	g.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			g.wg.Go(func() { g.pass(in) })
		}
	})
}

func (g *cable) pass(in net.Conn) {
	defer in.Close()
	out, err := (&net.Dialer{}).DialContext(context.Background(), g.network, g.to)
	if err != nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	down := g.down
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	if down {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { g.copy(in, out) })
	g.copy(out, in)
	back.Wait()
}

func (g *cable) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		g.mu.Lock()
		muffled := g.muffled
		g.mu.Unlock()
		<-muffled
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (g *cable) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.l.Close()
	g.down = true
	select {
	case <-g.muffled:
	default:
		close(g.muffled)
	}
	for c := range g.conns {
		c.Close()
	}
	clear(g.conns)
}

func (g *cable) muffle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.muffled = make(chan struct{})
}

func (g *cable) unmuffle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.muffled)
}

// variable returns one of the environment's, and with changes it.
func (f *installation) variable(name string) string {
	for _, v := range f.environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	f.t.Fatalf("%s is not in the environment", name)
	return ""
}

// gated puts cables before the database and the object store.
func (f *installation) gated() (db, s3 *cable) {
	f.t.Helper()
	u, err := url.Parse(f.variable("FREEAGENT_DATABASE_URL"))
	if err != nil {
		f.t.Fatal(err)
	}
	db = newCable(f.t, "unix", filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
	u.User, u.Host, u.RawQuery = url.User(u.Query().Get("user")), db.at, "sslmode=disable"
	s3 = newCable(f.t, "tcp", f.variable("FREEAGENT_S3_ENDPOINT"))
	f.environ = append(f.environ, "FREEAGENT_DATABASE_URL="+u.String(), "FREEAGENT_S3_ENDPOINT="+s3.at)
	return db, s3
}

// answer is what a submit got.
type answer struct {
	status     int
	retryAfter string
	code       string
	took       time.Duration
	err        error
}

func (f *installation) submit(url string) (a answer) {
	f.t.Helper()
	began := time.Now()
	c, err := api.New(api.Config{BaseURL: url, Key: distributedKey, Transport: recorder{&a}, RetryFor: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), 90*time.Second)
	defer cancel()
	picture := make([]byte, 4*api.SmallObject) // more than is kept in the database
	_, _ = rand.Read(picture)
	_, a.err = c.Builds.Submit(ctx, api.Submit{Platform: "android", Project: "hello", Source: packed(f.t, map[string]string{"picture": string(picture)})})
	var refused *api.Error
	if errors.As(a.err, &refused) {
		a.code = refused.Code
	}
	a.took = time.Since(began)
	return a
}

// recorder keeps the last status and Retry-After.
type recorder struct{ to *answer }

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		r.to.status, r.to.retryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	}
	return resp, err
}

func (f *installation) probe(url string) (status int, body string) { return f.ask(url + "/health") }

func (f *installation) ask(url string) (status int, body string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// TestOutages: without its database or its object store the farm says no in time, says why to operators, and goes on by itself
// when they are back.
func TestOutages(t *testing.T) {
	t.Parallel()
	f := newInstallation(t)
	db, s3 := f.gated()
	scheduler, monitor := f.start("scheduler"), f.start("monitor")
	artifact := f.start("artifact")
	ingest := f.start("ingest", "FREEAGENT_ARTIFACT_URL="+artifact.url())
	for _, p := range []*service{scheduler, monitor, artifact, ingest} {
		p.ready()
	}
	well := func(when string) {
		t.Helper()
		for _, p := range []*service{scheduler, monitor, artifact, ingest} {
			f.await(when+": "+p.name+" is healthy", func() bool { status, _ := f.probe(p.url()); return status == http.StatusOK })
		}
		if a := f.submit(ingest.url()); a.err != nil {
			t.Errorf("%s: Submit = %v", when, a.err)
		}
	}
	well("at first")
	for _, outage := range []struct {
		what       string
		begin, end func()
		asked      *service
		reason     string
		within     time.Duration
		noticed    bool
	}{
		{"database refused", db.shut, db.open, scheduler, "failed to connect", 20 * time.Second, false},
		{"object store refused", s3.shut, s3.open, artifact, "object store", 20 * time.Second, false},
		{"object store silent", s3.muffle, s3.unmuffle, artifact, "object store", 10 * time.Second, true},
		{"database silent", db.muffle, db.unmuffle, scheduler, "not healthy", 45 * time.Second, false},
	} {
		began := time.Now()
		outage.begin()
		if outage.noticed { // requests under way then end with their stall timeout; those that come later are refused at once
			f.await(outage.what+": it is noticed", func() bool {
				status, _ := f.probe(outage.asked.url())
				return status == http.StatusServiceUnavailable
			})
			t.Logf("%s: noticed after %s", outage.what, time.Since(began).Round(time.Second))
		}
		f.refused(outage.what, ingest.url(), outage.within)
		for _, p := range []*service{artifact, ingest} { // a proxy would drop them all
			if status, body := f.ask(p.url() + "/readyz"); status != http.StatusOK {
				t.Errorf("%s: /readyz of %s = %d %s, want 200: it can serve", outage.what, p.name, status, body)
			}
		}
		f.await(outage.what+": the reason", func() bool {
			status, body := f.probe(outage.asked.url())
			return status == http.StatusServiceUnavailable && strings.Contains(body, outage.reason)
		})
		outage.end()
		well("after " + outage.what)
		t.Logf("%s: %s", outage.what, time.Since(began).Round(time.Second))
	}
}

// refused wants each of several submits at once answered in time, with a 503 and when to try again.
func (f *installation) refused(what, url string, within time.Duration) {
	f.t.Helper()
	answers := make(chan answer)
	const submits = 5
	for range submits {
		go func() { answers <- f.submit(url) }()
	}
	for i := range submits {
		a := <-answers
		if a.err == nil || a.status != http.StatusServiceUnavailable || a.retryAfter == "" || a.took > within {
			f.t.Errorf("%s, submit %d: %s", what, i, fmt.Sprintf("%+v, want a 503 with Retry-After within %s", a, within))
		}
	}
}
