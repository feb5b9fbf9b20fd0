package worker_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	apiKey  = "a-key-of-sixteen-characters"
	quickly = 20 * time.Second // bound of every wait; what is measured is compared with its own
)

// farm is the far end of a worker's wires: a real bus that grants a worker what it may do and no more, the scheduler's and
// artifact's requests over it, and the gateway's HTTP. The worker under test is real in every part.
type farm struct {
	t    *testing.T
	dir  string
	srv  *server.Server
	port int
	nc   *nats.Conn
	js   jetstream.JetStream
	http *httptest.Server

	mu      sync.Mutex
	workers map[string]string // id to secret
	builds  map[string]*farmBuild
	objects map[string][]byte
	// variables are by project and environment, joined by a slash.
	variables map[string][]*artifactv1.Variable
	changed   chan struct{}
	refused   atomic.Int32 // publishes and subscriptions that the bus denied

	// Hooks; nil for none. They run without the lock.
	onClaim  func(worker string, r *schedulerv1.ClaimRequest) error
	onStage  func(r *schedulerv1.StageRequest) error
	onFinish func(r *schedulerv1.FinishRequest) error
	onGrant  func(r *artifactv1.WorkerGrantRequest) error
	onCache  func(r *artifactv1.WorkerGrantRequest) *artifactv1.WorkerGrantResponse
	onSync   func(r *schedulerv1.SyncRequest) []*schedulerv1.Lease
	onHTTP   func(w http.ResponseWriter, r *http.Request) bool
	timeout  time.Duration
	pace     *schedulerv1.Pace // set before a worker starts
	// repack is what builds with repack_from are repacked from; set before a worker starts.
	repack *schedulerv1.RepackSource
}

type farmBuild struct {
	spec    *schedulerv1.Build
	holder  string
	stages  []string
	asked   *schedulerv1.StageRequest // the last
	claims  int
	claimed time.Time
	finish  *schedulerv1.FinishRequest
}

func newFarm(t *testing.T) *farm {
	t.Helper()
	f := &farm{
		t: t, dir: t.TempDir(), port: -1, workers: map[string]string{}, builds: map[string]*farmBuild{}, objects: map[string][]byte{},
		changed: make(chan struct{}), timeout: time.Hour,
	}
	f.boot()
	t.Cleanup(func() { f.srv.Shutdown(); f.srv.WaitForShutdown() })
	f.connect()
	f.http = httptest.NewServer(http.HandlerFunc(f.serveHTTP))
	t.Cleanup(f.http.Close)
	return f
}

func (f *farm) boot() {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: f.port, JetStream: true, StoreDir: f.dir, NoSigs: true, CustomClientAuthentication: f,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	srv.SetLogger(denials{&f.refused}, false, false)
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		f.t.Fatal("nats-server is not ready")
	}
	f.srv = srv
	f.port = srv.Addr().(*net.TCPAddr).Port
}

// restart takes the bus away and gives it back on the same address and data.
func (f *farm) restart() {
	f.srv.Shutdown()
	f.srv.WaitForShutdown()
	f.boot()
	// The heartbeats live in memory and are gone with their bucket: services make it again.
	f.eventually("the topology is there", func() bool { return bus.Ensure(f.t.Context(), f.js, bus.NewTopology(1)) == nil })
}

// denials counts what the bus denied: a worker must never need more than it may.
type denials struct{ n *atomic.Int32 }

func (d denials) Errorf(format string, v ...any) {
	if text := fmt.Sprintf(format, v...); strings.Contains(text, "Violation") {
		d.n.Add(1)
	}
}
func (denials) Noticef(string, ...any) {}
func (denials) Warnf(string, ...any)   {}
func (denials) Fatalf(string, ...any)  {}
func (denials) Debugf(string, ...any)  {}
func (denials) Tracef(string, ...any)  {}

// Check lets services do all, and workers what ARCHITECTURE grants them.
func (f *farm) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", f.port) }

func (f *farm) connect() {
	f.t.Helper()
	log := slog.New(slog.DiscardHandler)
	nc, err := bus.Connect(bus.Config{URL: f.url(), Name: "services", User: "service", Password: "x"}, log)
	must(f.t, err)
	f.t.Cleanup(nc.Close)
	js, err := bus.JetStream(nc)
	must(f.t, err)
	must(f.t, bus.Ensure(f.t.Context(), js, bus.NewTopology(1)))
	for _, p := range build.Platforms() {
		must(f.t, bus.EnsureQueueConsumer(f.t.Context(), js, build.DefaultPool, string(p)))
	}
	f.nc, f.js = nc, js
	sched, err := rpc.NewService(nc, "scheduler", "dev", log)
	must(f.t, err)
	must(f.t, rpc.HandleWorker(sched, "sync", f.sync))
	must(f.t, rpc.HandleWorker(sched, "claim", f.claim))
	must(f.t, rpc.HandleWorker(sched, "stage", f.stage))
	must(f.t, rpc.HandleWorker(sched, "finish", f.finish))
	art, err := rpc.NewService(nc, "artifact", "dev", log)
	must(f.t, err)
	must(f.t, rpc.HandleWorker(art, "grant", f.grant))
	f.t.Cleanup(func() { _ = sched.Stop(context.Background()); _ = art.Stop(context.Background()) })
}

// held returns the build if the worker holds this attempt.
func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// project zips files: name, content, ...
func project(t *testing.T, files ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		must(t, err)
		_, err = io.WriteString(w, files[i+1])
		must(t, err)
	}
	must(t, z.Close())
	return buf.Bytes()
}

// script is a project whose one stage runs a script.
func script(t *testing.T, run string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"profiles": map[string]any{"production": map[string]any{
		"env": map[string]string{"DEPLOY_TOKEN": "tok-123456", "AUTH_MODE": "test", "PIN_PASS": "unit"}, "result": "out.bin",
		"stages": []map[string]string{{"name": "install", "run": run}},
	}}})
	must(t, err)
	return project(t, "freeagent.json", string(text))
}

// submit stores a source and hands the build out.
func (f *farm) submit(source []byte) string {
	f.t.Helper()
	return f.submitWith(source, func(*schedulerv1.Build) {})
}

func (f *farm) submitWith(source []byte, adjust func(*schedulerv1.Build)) string {
	f.t.Helper()
	id := build.NewID()
	spec := &schedulerv1.Build{
		Id: id, Platform: "android", Pool: build.DefaultPool, Attempt: 1,
		Source: &eventsv1.ObjectRef{ObjectId: id, Size: int64(len(source)), Sha256: sum(source)},
	}
	adjust(spec)
	f.mu.Lock()
	f.objects[id] = source
	f.builds[id] = &farmBuild{spec: spec}
	f.mu.Unlock()
	f.handOut(id)
	return id
}

func (f *farm) handOut(id string) {
	f.t.Helper()
	data, err := proto.Marshal(&schedulerv1.HandOut{BuildId: id, Attempt: 1, Pool: build.DefaultPool, Platform: "android"})
	must(f.t, err)
	_, err = f.js.Publish(f.t.Context(), bus.QueueSubject(build.DefaultPool, "android", id, 1), data)
	must(f.t, err)
}

// await waits until ok holds of the build.
func (f *farm) await(id, what string, ok func(*farmBuild) bool) farmBuild {
	f.t.Helper()
	deadline := time.After(quickly)
	for {
		f.mu.Lock()
		b, changed := f.builds[id], f.changed
		done, seen := ok(b), *b
		f.mu.Unlock()
		if done {
			return seen
		}
		select {
		case <-changed:
		case <-deadline:
			f.t.Fatalf("build %s is not %s after %s: stages %v, finish %v, log %q", id, what, quickly, seen.stages, seen.finish, f.logOf(id))
		}
	}
}

func (f *farm) finished(id string) *schedulerv1.FinishRequest {
	f.t.Helper()
	return f.await(id, "finished", func(b *farmBuild) bool { return b.finish != nil }).finish
}

func (f *farm) inStage(id, stage string) {
	f.t.Helper()
	f.await(id, "in stage "+stage, func(b *farmBuild) bool { return len(b.stages) > 0 && b.stages[len(b.stages)-1] == stage })
}

// logOf reads a build's log; a gap in its numbers fails the test.
func (f *farm) logOf(id string) string {
	f.t.Helper()
	cons, err := f.js.OrderedConsumer(context.Background(), bus.LogsStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{bus.LogSubjectsOf(id)}})
	must(f.t, err)
	info, err := cons.Info(context.Background())
	must(f.t, err)
	var lines []string
	for range info.NumPending {
		m, err := cons.Next()
		must(f.t, err)
		var c eventsv1.LogChunk
		must(f.t, proto.Unmarshal(m.Data(), &c))
		if c.GetFirstLine() != int64(len(lines)+1) {
			f.t.Errorf("a chunk of the log begins with line %d, want %d", c.GetFirstLine(), len(lines)+1)
		}
		for _, l := range c.GetLines() {
			lines = append(lines, l.GetText())
		}
	}
	return strings.Join(lines, "\n")
}

func (f *farm) queued() uint64 {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), bus.QueueStream)
	must(f.t, err)
	info, err := s.Info(f.t.Context())
	must(f.t, err)
	return info.State.Msgs
}

func (f *farm) eventually(what string, ok func() bool) {
	f.t.Helper()
	f.within(quickly, what, ok)
}

func (f *farm) within(d time.Duration, what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(d); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("%s: not within %s", what, d)
		}
	}
}

func (f *farm) control(worker string, order *eventsv1.Control) {
	f.t.Helper()
	data, err := proto.Marshal(order)
	must(f.t, err)
	must(f.t, f.nc.Publish(bus.ControlSubject(worker), data))
	must(f.t, f.nc.Flush())
}

// agent is a running worker.
type agent struct {
	*worker.Worker
	stop  context.CancelFunc
	ended chan error
}

// start runs a worker until the test ends, and checks that it then ends well.
func (f *farm) start(e runtime.Executor, adjust func(*worker.Config)) *agent {
	f.t.Helper()
	return f.startWith(e, adjust, func(*worker.Deps) {})
}

// startWith is start for a worker with other dependencies.
func (f *farm) startWith(e runtime.Executor, adjust func(*worker.Config), depend func(*worker.Deps)) *agent {
	f.t.Helper()
	gw, err := api.New(api.Config{BaseURL: f.http.URL, Key: apiKey})
	must(f.t, err)
	cfg := worker.Config{Name: "test", StateDir: f.t.TempDir()}
	if adjust != nil {
		adjust(&cfg)
	}
	deps := worker.Deps{Gateway: gw, Executor: e, Log: slog.New(slog.NewTextHandler(testLog{f.t}, nil))}
	depend(&deps)
	w, err := worker.New(cfg, deps)
	must(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{w, cancel, make(chan error, 1)}
	go func() { a.ended <- w.Run(ctx); close(a.ended) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-a.ended; err != nil {
			f.t.Errorf("Run = %v, want nil", err)
		}
		if n := f.refused.Load(); n > 0 {
			f.t.Errorf("the bus denied %d things to the worker", n)
		}
	})
	return a
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func (f *farm) fake(text string) runtime.Executor {
	f.t.Helper()
	o, err := fake.Parse(text)
	must(f.t, err)
	e, err := fake.New(f.t.TempDir(), o, nil)
	must(f.t, err)
	return e
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
