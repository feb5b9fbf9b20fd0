package embedbus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

var quiet = slog.New(slog.DiscardHandler)

const secret = "the-secret-of-worker-one"

type bundle struct {
	*Server
	t        *testing.T
	services *nats.Conn
	js       jetstream.JetStream
	stop     func()
	denied   chan error
	issuer   nkeys.KeyPair
	ttl      time.Duration
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupTTL(t, 0)
}

// setupTTL returns a server whose workers' credentials live for ttl.
func setupTTL(t *testing.T, ttl time.Duration) *bundle {
	t.Helper()
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := issuer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Issuer: public, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &bundle{Server: s, t: t, denied: make(chan error, 100), issuer: issuer, ttl: ttl}
	if b.services, err = s.Connect("services", quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.services.Close)
	if b.js, err = bus.JetStream(b.services); err != nil {
		t.Fatal(err)
	}
	for range 2 { // idempotent
		if err := bus.Ensure(t.Context(), b.js, bus.NewTopology(1)); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"ios", "android"} {
			if err := bus.EnsureQueueConsumer(t.Context(), b.js, "default", p); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.runCallout()
	return b
}

func (b *bundle) runCallout() {
	c := identity.Callout{
		Conn: b.services, Issuer: b.issuer, Account: Account, TTL: b.ttl, Log: quiet,
		Lookup: func(_ context.Context, id string) (identity.Worker, error) {
			if id != "w1" && id != "w2" {
				return identity.Worker{}, errors.New("unknown")
			}
			return identity.Worker{ID: id, SecretHash: identity.Hash(secret), Pool: "default", Platforms: []string{"ios"}}, nil
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(b.stop)
}

// connect dials over TCP as a worker does.
func (b *bundle) connect(id, password string) (*nats.Conn, error) {
	nc, err := bus.Connect(bus.Config{
		URL: b.URL("127.0.0.1"), Name: id, User: id, Password: password, InboxPrefix: bus.InboxPrefix(id),
		Options: []nats.Option{nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.denied <- err })},
	}, quiet)
	if err == nil {
		b.t.Cleanup(nc.Close)
	}
	return nc, err
}

func (b *bundle) worker(id string) *nats.Conn {
	b.t.Helper()
	var nc *nats.Conn
	var err error
	for range 50 { // the callout may be a moment behind the server
		if nc, err = b.connect(id, secret); err == nil {
			return nc
		}
	}
	b.t.Fatalf("connect as %s: %v", id, err)
	return nil
}

func TestOnlyKnownWorkersGetIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker("w1")
	for name, c := range map[string][2]string{
		"wrong secret": {"w1", "wrong"}, "unknown worker": {"w3", secret}, "nobody": {"", ""}, "services from outside": {servicesUser, "guess"},
	} {
		if _, err := b.connect(c[0], c[1]); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: connect = %v, want a refusal", name, err)
		}
	}
}

func TestAWorkerDoesItsWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nc := b.worker("w1")
	js, err := bus.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	m, err := bus.NewMessage(t.Context(), "test", bus.QueueSubject("default", "ios", "b1", 1), time.Now(), &schedulerv1.HandOut{BuildId: "b1", Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.PublishAll(t.Context(), b.js, []bus.Message{m}); err != nil {
		t.Fatal(err)
	}
	cons, err := js.Consumer(t.Context(), bus.QueueStream, bus.QueueConsumer("default", "ios"))
	if err != nil {
		t.Fatalf("bind to the queue: %v", err)
	}
	got, err := cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	if err := got.DoubleAck(t.Context()); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
	key := bus.LeaseKey("w1", "b1", 1)
	if _, err := js.Publish(t.Context(), bus.KeySubject(key), []byte("x"), jetstream.WithMsgTTL(2*time.Second)); err != nil {
		t.Errorf("heartbeat: %v", err)
	}
	if _, err := js.Publish(t.Context(), bus.LogSubject("w1", "b1", 1), []byte("x")); err != nil {
		t.Errorf("log: %v", err)
	}
	if _, err := b.services.Subscribe(bus.WorkerRequestSubject("scheduler", "claim", "*"), func(m *nats.Msg) { _ = m.Respond([]byte("ok")) }); err != nil {
		t.Fatal(err)
	}
	if err := b.services.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request(bus.WorkerRequestSubject("scheduler", "claim", "w1"), nil, 5*time.Second); err != nil {
		t.Errorf("claim: %v", err)
	}
	select {
	case err := <-b.denied:
		t.Errorf("denied: %v", err)
	default:
	}
}

// TestAWorkerDoesNothingElse tries what a hostile worker would.
func TestAWorkerDoesNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nc := b.worker("w1")
	for _, subject := range []string{
		bus.LogSubject("w2", "b1", 1), bus.LogSubject(bus.System, "b1", 1), bus.KeySubject(bus.WorkerKey("w2")),
		bus.KeySubject(bus.LeaseKey("w2", "b1", 1)), bus.BuildSubject("b1", bus.Completed), bus.WorkerSubject("w1", bus.Offline),
		bus.QueueSubject("default", "ios", "b1", 1), bus.WorkerRequestSubject("scheduler", "claim", "w2"),
		bus.RequestSubject("scheduler", "cancel"), bus.RequestSubject("artifact", "download"), bus.ControlSubject("w2"),
		"$JS.API.STREAM.DELETE." + bus.QueueStream, "$JS.API.STREAM.PURGE." + bus.EventsStream, "$JS.API.STREAM.INFO." + bus.LogsStream,
		"$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + ".default-android", "$JS.API.CONSUMER.CREATE." + bus.EventsStream,
		"$SYS.REQ.USER.AUTH", "_INBOX_w2.x", "anything",
	} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		b.wantDenied("publish " + subject)
	}
	for _, subject := range []string{">", "_INBOX.>", bus.InboxPrefix("w2") + ".>", bus.ControlSubject("w2"), bus.LogSubjectsOf("b1"), bus.BuildSubjects(bus.Completed)} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		b.wantDenied("subscribe " + subject)
	}
}

func (b *bundle) wantDenied(what string) {
	b.t.Helper()
	select {
	case err := <-b.denied:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			b.t.Errorf("%s: %v, want a permission violation", what, err)
		}
	case <-time.After(5 * time.Second):
		b.t.Errorf("%s: not denied", what)
	}
}

// TestWithoutCalloutNobodyNewGetsIn: and who is in stays.
func TestWithoutCalloutNobodyNewGetsIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nc := b.worker("w1")
	b.stop()
	if _, err := b.connect("w2", secret); err == nil {
		t.Error("connected without anybody to ask")
	}
	if _, err := nc.Request("_INBOX_w1.none", nil, time.Second); errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("the old connection: %v", err)
	}
}

func TestPortIsKeptOverARestart(t *testing.T) {
	t.Parallel()
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := issuer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Issuer: public, Log: quiet}
	start := func() string {
		s, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.URL("127.0.0.1")
	}
	if first, second := start(), start(); first != second {
		t.Errorf("%s, then %s after a restart", first, second)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.Listen = l.Addr().String()
	if _, err := Start(cfg); err == nil {
		t.Error("started on a port that is taken")
	}
}
