package standalone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/monitor"
	"github.com/expo-free-agent/freeagent/services/scheduler"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/embedbus"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/embeds3"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/memnet"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// App is an installation that has opened everything it needs. Make it with Open, then Run it once.
type App struct {
	cfg    Config
	key    string
	dir    *dataDir
	http   net.Listener
	secure *tls.Config // nil: no TLS
	// memory is how the gateway reaches artifact, local how a worker of this process reaches the gateway.
	memory, local *memnet.Listener
	bus           *embedbus.Server

	artifact  *artifact.Service
	scheduler *scheduler.Scheduler
	monitor   *monitor.Monitor
	ingest    *ingest.Ingest
	databases map[string]*database.DB
	markers   []*marker
	health    health

	// closers are what Open opened, in order; they are closed in reverse.
	closers []closer
}

type closer struct {
	name  string
	close func() error
}

// bucket holds every object.
const bucket = "freeagent"

// Open takes the data directory, binds the addresses, and opens the engines and the services on them, in the order of this
// list; what it needs and cannot have is one sentence. It starts nothing that Run does not own but the engines.
func Open(ctx context.Context, cfg Config) (_ *App, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, memory: memnet.Listen(), local: memnet.Listen(), databases: map[string]*database.DB{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	for _, part := range []func(context.Context) error{
		a.openDir, a.listen, a.openServices, a.checkDatabases, a.stampDir, a.markDatabases,
	} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *App) opened(name string, f func() error) { a.closers = append(a.closers, closer{name, f}) }

// close closes what was opened, the last first.
func (a *App) close() error {
	var faults []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		if err := a.closers[i].close(); err != nil {
			faults = append(faults, fmt.Errorf("close %s: %w", a.closers[i].name, err))
		}
	}
	a.closers = nil
	return errors.Join(faults...)
}

func (a *App) openDir(ctx context.Context) (err error) {
	if a.dir, err = openDataDir(a.cfg.Dir); err != nil {
		return err
	}
	a.opened("data directory", a.dir.close)
	if err := a.dir.checkNames(ctx); err != nil {
		return err
	}
	if !a.cfg.AcceptEmpty {
		if err := a.dir.checkIntact(ctx); err != nil {
			return err
		}
	}
	a.key, err = a.dir.adminKey(a.cfg.Key)
	return err
}

// stampDir makes the parts of the data directory one installation, once all are there.
func (a *App) stampDir(ctx context.Context) error { return a.dir.stamp(ctx, a.cfg.AcceptEmpty) }

func (a *App) listen(ctx context.Context) (err error) {
	if a.secure, err = tlsfiles.Server(a.cfg.TLSCert, a.cfg.TLSKey); err != nil {
		return err
	}
	a.http, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken by another process; stop it or choose another port with --port", a.cfg.Listen)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", a.cfg.Listen, err)
	}
	a.opened("HTTP listener", func() error {
		if err := a.http.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	if a.secure != nil {
		a.http = tls.NewListener(a.http, a.secure)
	}
	return nil
}

// openServices opens the engines and makes the services on them.
func (a *App) openServices(ctx context.Context) error {
	keys, err := a.dir.secrets()
	if err != nil {
		return err
	}
	if err := a.openBus(keys); err != nil {
		return err
	}
	store, err := a.openObjects(ctx)
	if err != nil {
		return err
	}
	if err := a.openArtifact(ctx, keys, store); err != nil {
		return err
	}
	if err := a.openDeciders(ctx); err != nil {
		return err
	}
	return a.openIngest(ctx, keys)
}

func (a *App) openBus(keys keySet) error {
	issuer, err := keys.issuer.PublicKey()
	if err != nil {
		return fmt.Errorf("the bus's signing key: %w", err)
	}
	a.bus, err = embedbus.Start(embedbus.Config{Dir: a.dir.join("bus"), Listen: a.cfg.BusListen, Issuer: issuer, TLS: a.secure, Log: a.cfg.Log})
	if err != nil {
		return err
	}
	a.opened("bus", func() error { a.bus.Close(); return nil })
	return nil
}

func (a *App) openObjects(ctx context.Context) (objects.Store, error) {
	s3, err := embeds3.Start(ctx, embeds3.Config{Dir: a.dir.join("objects")})
	if err != nil {
		return nil, err
	}
	a.opened("S3 endpoint", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		return s3.Close(ctx)
	})
	store, err := objects.New(objects.Config{
		Endpoint: s3.Endpoint(), AccessKey: s3.AccessKey(), SecretKey: s3.SecretKey(), Bucket: bucket, Region: embeds3.Region,
		Sync: func(key string) error { return s3.Sync(bucket, key) },
	})
	if err != nil {
		return nil, err
	}
	a.opened("object store", store.Close)
	return store, nil
}

// service opens what every service has of its own: a database and a connection to the bus.
func (a *App) service(ctx context.Context, name string) (*database.DB, *nats.Conn, error) {
	db, err := database.Open(ctx, database.Config{URL: a.dir.database(name), Service: name})
	if err != nil {
		return nil, nil, err
	}
	m, err := newMarker(ctx, a.dir, name)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	a.opened(name+"'s database", func() error { return m.close(db.Close) })
	a.databases[name], a.markers = db, append(a.markers, m)
	if err := db.CheckWrite(ctx); err != nil {
		return nil, nil, fmt.Errorf("%w; check the owner and the mode of the data directory, and that its disk is not read-only or full", err)
	}
	nc, err := a.bus.Connect(name, a.cfg.Log)
	if err != nil {
		return nil, nil, err
	}
	a.opened(name+"'s bus connection", func() error { nc.Close(); return nil })
	return db, nc, nil
}

func (a *App) openArtifact(ctx context.Context, keys keySet, store objects.Store) error {
	db, nc, err := a.service(ctx, "artifact")
	if err != nil {
		return err
	}
	cfg := a.cfg.Artifact
	cfg.AcceptEmpty = a.cfg.AcceptEmpty
	cfg.TicketKey, cfg.MasterKey = keys.ticket, keys.master
	a.artifact, err = artifact.New(cfg, artifact.Deps{
		DB: db, Store: store, Conn: nc, Log: a.cfg.Log, FreeSpace: a.uploadSpace,
	})
	return err
}

func (a *App) openDeciders(ctx context.Context) error {
	db, nc, err := a.service(ctx, "scheduler")
	if err != nil {
		return err
	}
	orders := a.cfg.Scheduler
	orders.StreamStorage = a.streamStorage()
	if a.scheduler, err = scheduler.New(ctx, orders, scheduler.Deps{DB: db, Conn: nc, Log: a.cfg.Log, SyncEvents: a.bus.Sync}); err != nil {
		return err
	}
	if db, nc, err = a.service(ctx, "monitor"); err != nil {
		return err
	}
	a.monitor, err = monitor.New(ctx, a.cfg.Monitor, monitor.Deps{DB: db, Conn: nc, Log: a.cfg.Log, SyncEvents: a.bus.Sync})
	return err
}

func (a *App) openIngest(ctx context.Context, keys keySet) error {
	db, nc, err := a.service(ctx, "ingest")
	if err != nil {
		return err
	}
	cfg := a.cfg.Ingest
	cfg.BootstrapKey, cfg.TokenKey, cfg.StoragePath = a.key, keys.token, "storage"
	a.ingest, err = ingest.New(ctx, cfg, ingest.Deps{
		DB: db, Conn: nc, Sole: true, ArtifactURL: "http://artifact",
		ArtifactClient: &http.Client{Transport: &http.Transport{
			DialContext: a.memory.DialContext, MaxIdleConnsPerHost: 64, DisableCompression: true,
		}},
		BusURL: a.busURL, Issuer: keys.issuer, Account: embedbus.Account, Log: a.cfg.Log, Embedded: a.ready, Problems: a.problems,
	})
	return err
}

// busURL tells a worker the host by which it found us, unless the bus is bound to one address.
func (a *App) busURL(r *http.Request) string {
	host, _, err := net.SplitHostPort(a.cfg.BusListen)
	if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
		return a.bus.URL(host)
	}
	host = r.Host
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		host = h
	}
	return a.bus.URL(host)
}

// URL is the address that HTTP is really bound to.
func (a *App) URL() string {
	scheme := "http://"
	if a.secure != nil {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(a.http.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return scheme + net.JoinHostPort("localhost", port)
	}
	return scheme + a.http.Addr().String()
}

// Key is the admin API key.
func (a *App) Key() string { return a.key }

// Part is one more loop for Run, such as a local worker: it starts last and stops first.
type Part struct {
	Name string
	Run  lifecycle.Loop
}

// Run serves until ctx ends, then stops in reverse order and closes everything. ready is called once, when a submit would be
// acknowledged; it may be nil.
func (a *App) Run(ctx context.Context, ready func(), more ...Part) error {
	g := lifecycle.New(a.cfg.Log)
	g.Go("artifact", a.artifact.Run)
	g.Go("artifact HTTP", func(ctx context.Context) error {
		return httpx.Run(ctx, a.memory, a.artifact.Handler(), a.cfg.Log)
	})
	g.Go("scheduler", a.scheduler.Run)
	g.Go("monitor", a.monitor.Run)
	g.Go("HTTP", func(ctx context.Context) error {
		return httpx.Run(ctx, a.http, a.ingest.Handler(), a.cfg.Log)
	})
	g.Go("local HTTP", func(ctx context.Context) error {
		return httpx.Run(ctx, a.local, a.ingest.Handler(), a.cfg.Log)
	})
	// After HTTP, so that it stops before: the logs that are being followed end with it.
	g.Go("ingest", a.ingest.Run)
	g.Go("ready", func(ctx context.Context) error { return a.awaitReady(ctx, ready) })
	g.Go("bus guard", a.guardBus)
	g.Go("database checks", a.checkOn)
	for _, p := range more {
		g.Go(p.Name, p.Run)
	}
	return errors.Join(g.Run(ctx), a.close())
}

// awaitReady asks the services as a client would, and then waits for the end.
func (a *App) awaitReady(ctx context.Context, ready func()) error {
	nc, err := a.bus.Connect("ready", a.cfg.Log)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := answering(ctx, nc); err != nil && ctx.Err() == nil {
		return fmt.Errorf("services do not answer: %w", err)
	}
	if ready != nil && ctx.Err() == nil {
		ready()
	}
	<-ctx.Done()
	return nil
}

func answering(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := rpc.Client{Conn: nc}
	if _, err := schedulerv1.NewSchedulerServiceClient(client).Summary(ctx, &schedulerv1.SummaryRequest{}); err != nil {
		return err
	}
	_, err := artifactv1.NewArtifactServiceClient(client).Stat(ctx, &artifactv1.StatRequest{ObjectId: "none"})
	if errors.Is(err, build.ErrObjectNotFound) || errors.Is(err, build.ErrInvalid) {
		return nil
	}
	return err
}

// Dir is the data directory.
func (a *App) Dir() string { return a.dir.path }
