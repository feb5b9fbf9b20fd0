package ingest_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const adminKey = "the-admin-key-0123456789"

// farm is a gateway with a real bus and database. The scheduler and the artifact service, the far
// ends of wires, are played by the test.
type farm struct {
	t         testing.TB
	bus       *bustest.Server
	js        jetstream.JetStream
	db        *database.DB
	scheduler *scheduler
	artifact  *artifact
	cfg       ingest.Config
	gateway   *ingest.Ingest
	url       string
	log       *logBuffer
	stop      func()
	// freeze ends the gateway's own loops; it goes on serving HTTP, as a process does that was
	// paused and goes on.
	freeze func()
	// cut breaks every connection to the gateway off.
	cut func()
}

func setup(t testing.TB, configure ...func(*ingest.Config)) *farm {
	t.Helper()
	return setupDB(t, databasetest.Open(t, databasetest.SQLite(t)), configure...)
}

// setupDB is setup with a database.
func setupDB(t testing.TB, db *database.DB, configure ...func(*ingest.Config)) *farm {
	t.Helper()
	f := &farm{t: t, bus: bustest.Start(t), db: db, log: &logBuffer{}, cfg: config()}
	f.js = f.bus.JetStream(f.bus.Connect("test"))
	f.scheduler = startScheduler(t, f.bus.Connect("scheduler"))
	f.artifact = startArtifact(t, f.bus.Connect("artifact"))
	for _, c := range configure {
		c(&f.cfg)
	}
	f.start(f.bus.Connect("ingest"))
	return f
}

func config() ingest.Config {
	cfg := ingest.DefaultConfig()
	cfg.BootstrapKey, cfg.TokenKey, cfg.StoragePath = adminKey, bytes.Repeat([]byte{7}, 32), "/data"
	return cfg
}

func issuer(t testing.TB) nkeys.KeyPair {
	t.Helper()
	k, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f *farm) start(nc *nats.Conn) {
	f.t.Helper()
	gateway, err := ingest.New(f.t.Context(), f.cfg, f.deps(nc, issuer(f.t)))
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	server := httptest.NewServer(gateway.Handler())
	f.gateway, f.url, f.cut, f.freeze = gateway, server.URL, server.CloseClientConnections, cancel
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run = %v", err)
		}
		server.Close() // waits for every request
	})
	f.t.Cleanup(f.stop)
}

// another starts one more gateway of the same farm.
func (f *farm) another() *farm {
	f.t.Helper()
	g := *f
	g.start(f.bus.Connect("ingest2"))
	return &g
}

func (f *farm) deps(nc *nats.Conn, issuer nkeys.KeyPair) ingest.Deps {
	return ingest.Deps{
		DB: f.db, Conn: nc, ArtifactURL: f.artifact.url, ArtifactClient: &http.Client{Transport: &http.Transport{DisableCompression: true}},
		BusURL: func(r *http.Request) string { return "nats://" + r.Host }, Issuer: issuer, Account: "$G",
		Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

type hdr map[string]string

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("%q is no JSON object: %v", r.body, err)
	}
	return m
}

// want checks the status and, if given, the whole v1 sentence.
func (r reply) want(t testing.TB, status int, sentence ...string) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status = %d %s, want %d", r.status, r.body, status)
	}
	if len(sentence) > 0 && r.json(t)["error"] != sentence[0] {
		t.Errorf("answer = %s, want the error %q", r.body, sentence[0])
	}
	return r
}

func (f *farm) request(method, path string, body io.Reader, h hdr) *http.Request {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	for k, v := range h {
		req.Header.Set(k, v)
	}
	return req
}

func (f *farm) do(method, path string, body io.Reader, h hdr) reply {
	f.t.Helper()
	resp, err := http.DefaultClient.Do(f.request(method, path, body, h))
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, data}
}

func withKey() hdr { return hdr{"X-API-Key": adminKey} }

func (f *farm) get(path string) reply {
	f.t.Helper()
	return f.do(http.MethodGet, path, nil, withKey())
}
func (f *farm) post(path string) reply {
	f.t.Helper()
	return f.do(http.MethodPost, path, nil, withKey())
}

// part is one of a form: a file if it has a file name.
type part struct{ name, file, content string }

func platform(p string) part { return part{name: "platform", content: p} }

// large is a source that is streamed; a smaller one goes with a request.
func large() part  { return part{"source", "project.tar.gz", noise(api.SmallObject + 1)} }
func source() part { return part{"source", "project.tar.gz", "the source"} }
func certs() part  { return part{"certs", "certs.zip", certsZip()} }

// certsZip is what a submitter signs with.
func certsZip() string {
	return zipOf("dist.p12", "P12", "password.txt", "secret\n", "a.mobileprovision", "A", "x/b.mobileprovision", "B")
}

// zipOf packs names and contents in turn.
func zipOf(pairs ...string) string {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		out, err := w.Create(pairs[i])
		if err == nil {
			_, err = io.WriteString(out, pairs[i+1])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.String()
}

func write(w *multipart.Writer, parts ...part) error {
	for _, p := range parts {
		out, err := w.CreateFormField(p.name)
		if p.file != "" {
			out, err = w.CreateFormFile(p.name, p.file)
		}
		if err == nil {
			_, err = io.WriteString(out, p.content)
		}
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func (f *farm) postForm(path string, h hdr, parts ...part) reply {
	f.t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if err := write(w, parts...); err != nil {
		f.t.Fatal(err)
	}
	h["Content-Type"] = w.FormDataContentType()
	return f.do(http.MethodPost, path, &buf, h)
}

// submit returns the id and token of a new build.
func (f *farm) submit(parts ...part) (id, token string) {
	f.t.Helper()
	if len(parts) == 0 {
		parts = []part{source(), certs(), platform("ios")} // without certs its log would say so, at its own time
	}
	m := f.postForm("/api/builds/submit", withKey(), parts...).want(f.t, http.StatusOK).json(f.t)
	return m["id"].(string), m["access_token"].(string)
}

// say adds a message to a build's log.
func (f *farm) say(id string, last bool, lines ...string) {
	f.t.Helper()
	c := &eventsv1.LogChunk{BuildId: id, Attempt: 1, Last: last}
	for _, l := range lines {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 1_700_000_000_000, Level: "info", Text: l})
	}
	m, err := bus.NewMessage(f.t.Context(), "test", bus.LogSubject(bus.System, id, 1), time.Now(), c)
	if err == nil {
		_, err = f.js.PublishMsg(f.t.Context(), m.NATS())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// eventually polls a state that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// logBuffer collects the log, to show what is in it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), s)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

// serve makes the farm's requests go to another handler.
func (f *farm) serve(h http.Handler) {
	server := httptest.NewServer(h)
	f.t.Cleanup(server.Close)
	f.url = server.URL
}
