package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// bundle is a running scheduler with a real bus and database.
type bundle struct {
	requests
	t    *testing.T
	db   *database.DB
	srv  *bustest.Server
	nc   *nats.Conn
	js   jetstream.JetStream
	stop func()
	// skew is added to the scheduler's clock.
	skew *atomic.Int64
}

// sqlite opens the database of tests that do not touch SQL's own ways.
func sqlite(tb testing.TB) *database.DB {
	tb.Helper()
	return databasetest.Open(tb, databasetest.SQLite(tb))
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Backoff, cfg.ReconcileEvery = 0, 100*time.Millisecond
	return cfg
}

func setup(t *testing.T, open databasetest.Opener) *bundle {
	t.Helper()
	return setupWith(t, open(t), bustest.Start(t), testConfig())
}

func setupWith(t *testing.T, db *database.DB, srv *bustest.Server, cfg Config) *bundle {
	t.Helper()
	nc := srv.Connect("scheduler")
	skew := new(atomic.Int64)
	now := func() time.Time { return time.Now().UTC().Add(time.Duration(skew.Load())) }
	s, err := New(t.Context(), cfg, Deps{DB: db, Conn: nc, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{requests: s.requests(), t: t, db: db, srv: srv, nc: srv.Connect("test"), skew: skew}
	b.js = srv.JetStream(b.nc)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// artifacts is the far end that knows what results are stored: object id -> (build, attempt).
type artifacts struct {
	mu      sync.Mutex
	results map[string]*artifactv1.StatResponse
	kept    []string
}

func serveArtifacts(t *testing.T, srv *bustest.Server) *artifacts {
	t.Helper()
	a := &artifacts{results: map[string]*artifactv1.StatResponse{}}
	svc, err := rpc.NewService(srv.Connect("artifact"), "artifact", "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.Handle(svc, "stat", a.stat); err != nil {
		t.Fatal(err)
	}
	if err := rpc.Handle(svc, "keep", a.keep); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = svc.Stop(ctx)
	})
	return a
}

func (a *artifacts) stat(_ context.Context, r *artifactv1.StatRequest) (*artifactv1.StatResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.results[r.GetObjectId()]; ok {
		return s, nil
	}
	return nil, build.ErrObjectNotFound
}

func (a *artifacts) keep(_ context.Context, r *artifactv1.KeepRequest) (*artifactv1.KeepResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = append(a.kept, r.GetObjectIds()...)
	return &artifactv1.KeepResponse{}, nil
}

// store makes a result of this attempt durable and gives its id.
func (a *artifacts) store(buildID string, attempt int32) string {
	return a.storeKind(buildID, attempt, artifactv1.Kind_KIND_RESULT)
}

func (a *artifacts) storeKind(buildID string, attempt int32, kind artifactv1.Kind) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := build.NewID()
	a.results[id] = &artifactv1.StatResponse{
		Object:  &eventsv1.ObjectRef{ObjectId: id, Size: 3, Sha256: "abc", Name: "app.tar.gz"},
		BuildId: buildID, Attempt: attempt, Kind: kind,
	}
	return id
}

func (b *bundle) submit(project, platform string, priority int32) *schedulerv1.Build {
	b.t.Helper()
	resp, err := b.Submit(b.t.Context(), &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Project: project, Platform: platform, Priority: priority,
		Source: &eventsv1.ObjectRef{ObjectId: build.NewID(), Size: 1, Sha256: "00"},
	})
	if err != nil {
		b.t.Fatalf("Submit: %v", err)
	}
	return resp.GetBuild()
}

// worker registers a worker and brings it online.
func (b *bundle) worker(slots int32, platforms ...string) string {
	b.t.Helper()
	id := build.NewID()
	_, err := b.RegisterWorker(b.t.Context(), &schedulerv1.RegisterWorkerRequest{
		WorkerId: id, Name: "mac-" + id[:4], Platforms: platforms, Slots: slots,
	})
	if err == nil {
		_, err = b.Sync(b.t.Context(), id, &schedulerv1.SyncRequest{Fresh: true})
	}
	if err != nil {
		b.t.Fatalf("worker: %v", err)
	}
	return id
}

// state waits until the build is in one of the states and gives it.
func (b *bundle) state(id string, want ...build.State) *schedulerv1.Build {
	b.t.Helper()
	return b.eventually(id, func(v *schedulerv1.Build) bool {
		for _, w := range want {
			if v.GetState() == string(w) {
				return true
			}
		}
		return false
	})
}

func (b *bundle) eventually(id string, ok func(*schedulerv1.Build) bool) *schedulerv1.Build {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := b.Get(b.t.Context(), &schedulerv1.GetRequest{BuildId: id})
		if err != nil {
			b.t.Fatalf("Get: %v", err)
		}
		if ok(resp.GetBuild()) {
			return resp.GetBuild()
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("build stays %v", resp.GetBuild())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// mustClaim waits for the build to be on offer and claims it.
func (b *bundle) mustClaim(worker, id string) *schedulerv1.Build {
	b.t.Helper()
	v := b.state(id, build.Queued)
	resp, err := b.Claim(b.t.Context(), worker, &schedulerv1.ClaimRequest{BuildId: id, Attempt: v.GetAttempt()})
	if err != nil {
		b.t.Fatalf("Claim: %v", err)
	}
	return resp.GetBuild()
}

// events returns the events of a build in the order of the stream, without its log.
func (b *bundle) events(id string) []string {
	b.t.Helper()
	if err := b.machine.Relay.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	cons, err := b.js.OrderedConsumer(b.t.Context(), bus.EventsStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{bus.BuildSubjectsOf(id)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := cons.Info(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for range info.NumPending {
		m, err := cons.Next()
		if err != nil {
			b.t.Fatal(err)
		}
		_, e, err := bus.ParseEvent(m.Subject())
		if err != nil {
			b.t.Fatal(err)
		}
		names = append(names, string(e))
	}
	return names
}

// lastLine wants the control plane's last line in the log of a build's first attempt: there already, not on its way.
func (b *bundle) lastLine(id, want string) {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), bus.LogsStream)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(b.t.Context(), bus.LogSubject(bus.System, id, 1))
	if err != nil {
		b.t.Fatal(err)
	}
	var c eventsv1.LogChunk
	if err := proto.Unmarshal(m.Data, &c); err != nil || len(c.GetLines()) != 1 || c.GetLines()[0].GetText() != want {
		b.t.Errorf("the last line is %v, %v, want %q", c.GetLines(), err, want)
	}
}
