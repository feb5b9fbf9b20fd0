package monitor

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

const (
	patience = 30 * time.Second
	// ttl is the shortest that leaves room for a busy machine; the bus knows whole seconds only.
	ttl = 2 * time.Second
	// short is the TTL of those that die: they need no room.
	short = time.Second
	// long is a TTL that no test lives to see the end of.
	long = 10 * time.Minute
	// holder is the worker of every lease in these tests.
	holder = "mac1"
)

// quietly is a logger that tests can hand to what they start.
var quietly = slog.New(slog.DiscardHandler)

// bundle is a running monitor with a real bus and database, and what a test needs to play scheduler and worker.
type bundle struct {
	*Monitor
	requests
	t    *testing.T
	db   *database.DB
	srv  *bustest.Server
	js   jetstream.JetStream
	stop func()
}

// testConfig is the default but for TTLs: what it takes on top of them is what is tested.
func testConfig() Config {
	cfg := DefaultConfig()
	cfg.WorkerTTL = ttl
	cfg.StageTTLs = map[build.Stage]time.Duration{build.StagePrepare: short, build.StageInstall: ttl, build.StageCompile: long}
	return cfg
}

func setup(t *testing.T, open databasetest.Opener) *bundle {
	t.Helper()
	return setupWith(t, open(t), bustest.Start(t), testConfig())
}

func setupWith(t *testing.T, db *database.DB, srv *bustest.Server, cfg Config) *bundle {
	t.Helper()
	return newBundle(t, db, srv, cfg, nil)
}

// newBundle sets the monitor's detector of pauses; nil: the real one.
func newBundle(t *testing.T, db *database.DB, srv *bustest.Server, cfg Config, pauses *pause.Detector) *bundle {
	t.Helper()
	m, err := New(t.Context(), cfg, Deps{DB: db, Conn: srv.Connect("monitor"), Log: quietly, pauses: pauses})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{Monitor: m, requests: m.requests, t: t, db: db, srv: srv, js: srv.JetStream(srv.Connect("test"))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v, want nil after a stop", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(b.stop)
	return b
}

// tell publishes a fact as the scheduler would.
func (b *bundle) tell(subject string, fact proto.Message) {
	b.t.Helper()
	m, err := bus.NewMessage(b.t.Context(), "scheduler", subject, time.Now(), fact)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := bus.PublishAll(b.t.Context(), b.js, []bus.Message{m}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) assigned(id string, attempt int32) {
	b.t.Helper()
	b.tell(bus.BuildSubject(id, bus.Assigned), &eventsv1.BuildAssigned{BuildId: id, Attempt: attempt, WorkerId: holder})
}

func (b *bundle) stage(id string, attempt int32, stage build.Stage) {
	b.t.Helper()
	b.tell(bus.BuildSubject(id, bus.Stage), &eventsv1.BuildStageChanged{
		BuildId: id, Attempt: attempt, WorkerId: holder, Stage: string(stage),
	})
}

func (b *bundle) completed(id string, attempt int32) {
	b.t.Helper()
	b.tell(bus.BuildSubject(id, bus.Completed), &eventsv1.BuildCompleted{BuildId: id, Attempt: attempt, WorkerId: holder})
}

// assign makes a lease and waits until it is watched.
func (b *bundle) assign(id string, attempt int32) {
	b.t.Helper()
	b.assigned(id, attempt)
	b.watched(id, func(l *store.Lease) bool { return l != nil && l.Attempt == attempt })
}

// watched waits for what is watched of a build: nil if nothing.
func (b *bundle) watched(id string, ok func(*store.Lease) bool) {
	b.t.Helper()
	b.eventually("lease of "+id, func() bool {
		leases, err := b.store.Leases.All(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		for _, l := range leases {
			if l.BuildID == id {
				return ok(&l)
			}
		}
		return ok(nil)
	})
}

func (b *bundle) forgotten(id string) {
	b.t.Helper()
	b.watched(id, func(l *store.Lease) bool { return l == nil })
}

// beat refreshes a key as a worker does, and gives when.
func (b *bundle) beat(key string, ttl time.Duration, h *eventsv1.Heartbeat) time.Time {
	b.t.Helper()
	data, err := proto.Marshal(h)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.beatRaw(key, ttl, data)
}

func (b *bundle) beatRaw(key string, ttl time.Duration, data []byte) time.Time {
	b.t.Helper()
	_, err := b.js.Publish(b.t.Context(), bus.KeySubject(key), data, jetstream.WithMsgTTL(ttl))
	if err != nil {
		b.t.Fatalf("beat %s: %v", key, err)
	}
	return time.Now()
}

func (b *bundle) beatLease(id string, attempt int32, ttl time.Duration) time.Time {
	b.t.Helper()
	return b.beat(bus.LeaseKey(holder, id, attempt), ttl, &eventsv1.Heartbeat{
		WorkerId: holder, BuildId: id, Attempt: attempt, Stage: "install", TtlSeconds: int32(ttl / time.Second),
	})
}

// keepBeating refreshes a key until the returned stop is called, through outages of the bus.
func (b *bundle) keepBeating(key string, h *eventsv1.Heartbeat, every time.Duration) (stop func()) {
	b.t.Helper()
	data, err := proto.Marshal(h)
	if err != nil {
		b.t.Fatal(err)
	}
	js := b.srv.JetStream(b.srv.Connect("beating"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ctx.Err() == nil {
			once, cancel := context.WithTimeout(ctx, every)
			_, _ = js.Publish(once, bus.KeySubject(key), data, jetstream.WithMsgTTL(time.Duration(h.GetTtlSeconds())*time.Second))
			cancel()
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	b.t.Cleanup(stop)
	return stop
}

// healthy keeps a lease alive as a worker does.
func (b *bundle) healthy(id string, attempt int32) (stop func()) {
	b.t.Helper()
	return b.keepBeating(bus.LeaseKey(holder, id, attempt), &eventsv1.Heartbeat{
		WorkerId: holder, BuildId: id, Attempt: attempt, Stage: "install", TtlSeconds: int32(ttl / time.Second),
	}, ttl/5)
}

// count returns how many messages of a subject the event stream holds.
func (b *bundle) count(subject string) uint64 {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), bus.EventsStream)
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := stream.Info(b.t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil {
		b.t.Fatal(err)
	}
	return info.State.Subjects[subject]
}

// listen subscribes to an event of a build or worker; what it hears, it hears when it is published.
func (b *bundle) listen(subject string) *nats.Subscription {
	b.t.Helper()
	nc := b.srv.Connect("listener")
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return sub
}

// stalled waits for the verdict on a build and gives it.
func (b *bundle) stalled(sub *nats.Subscription) *eventsv1.BuildStalled {
	b.t.Helper()
	return hear[eventsv1.BuildStalled](b.t, sub)
}

func hear[E any, P interface {
	*E
	proto.Message
}](t *testing.T, sub *nats.Subscription) P {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatalf("%s: %v", sub.Subject, err)
	}
	e := P(new(E))
	if err := proto.Unmarshal(m.Data, e); err != nil {
		t.Fatal(err)
	}
	return e
}

// silent fails if a verdict has been published.
func (b *bundle) silent(id string) {
	b.t.Helper()
	if n := b.count(bus.BuildSubject(id, bus.Stalled)); n != 0 {
		b.t.Errorf("build %s stalled %d times, want never", id, n)
	}
}

// lifetimes lets n leases live and die, one after the other, each of one silent TTL: time passes, by events and not by a
// clock, and whoever should have been found dead meanwhile has been.
func (b *bundle) lifetimes(n int) {
	b.t.Helper()
	for range n {
		id := build.NewID()
		sub := b.listen(bus.BuildSubject(id, bus.Stalled))
		b.assigned(id, 1)
		b.beatLease(id, 1, short)
		b.stalled(sub)
	}
}

// eventually polls state.
func (b *bundle) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%s: not as wanted within %s", what, patience)
		}
	}
}
