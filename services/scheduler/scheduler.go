package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/admission"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/faults"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/registry"
	retain "github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/rules"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/outbox"
	"github.com/expo-free-agent/freeagent/shared/pause"
	"github.com/expo-free-agent/freeagent/shared/retention"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/streamhealth"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Deps are what a scheduler works with; it closes none of them.
type Deps struct {
	DB   *database.DB
	Conn *nats.Conn
	Log  *slog.Logger
	// SyncEvents makes durable what the bus has acknowledged; nil: the bus does so before it acknowledges.
	SyncEvents func() error
	// Now is the clock, in UTC; nil: the system's.
	Now func() time.Time
}

// Scheduler is one replica. Make it with New, run it with Run; its methods are safe for concurrent use.
type Scheduler struct {
	cfg   Config
	store *store.Store
	nc    *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
	now   func() time.Time

	machine  *transition.Machine
	queue    *handout.Queue
	rules    *rules.Rules
	registry *registry.Registry
	faults   *faults.Counter
	waiting  *admission.Counter
	dispatch *dispatch.Dispatcher
	// expired has what is left of builds that have expired.
	expired   *retain.Store
	retention *retain.Service
	artifact  artifactv1.ArtifactServiceClient
	// storage knows whether the bus can store.
	storage  *streamhealth.Watcher
	retained *retention.Marker
	// pauses of this process: workers could not report meanwhile.
	pauses *pause.Detector
}

// New migrates the scheduler's schema and makes the streams; it starts nothing.
func New(ctx context.Context, cfg Config, d Deps) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("scheduler configuration: %w", err)
	}
	st, err := store.New(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	js, err := bus.JetStream(d.Conn)
	if err != nil {
		return nil, err
	}
	if d.Now == nil {
		d.Now = func() time.Time { return time.Now().UTC() }
	}
	log := d.Log.With("service", "scheduler")
	s := &Scheduler{
		cfg: cfg, store: st, nc: d.Conn, js: js, log: log, now: d.Now,
		storage: streamhealth.New(streamhealth.Config{Conn: d.Conn, JS: js, Log: log}), pauses: pause.New(pause.Tick),
		waiting: admission.New(st, cfg.MaxWaiting), expired: retain.NewStore(d.DB), retained: retention.NewMarker(d.Conn, log),
	}
	s.machine = &transition.Machine{
		Store: st, Signal: transition.NewSignal(), Relay: outbox.NewRelay(d.DB, js, d.SyncEvents, s.storage, log), Log: log, Now: d.Now,
		MaxAttempts: cfg.MaxAttempts, Backoff: cfg.Backoff,
	}
	if err := s.assemble(ctx, rpc.Client{Conn: d.Conn}); err != nil {
		return nil, err
	}
	return s, s.queue.Create(ctx)
}

// assemble makes the rooms that need others.
func (s *Scheduler) assemble(ctx context.Context, c rpc.Client) (err error) {
	s.artifact = artifactv1.NewArtifactServiceClient(c)
	monitor := monitorv1.NewMonitorServiceClient(c)
	if s.queue, err = handout.New(s.cfg.queue(), s.store, s.js, s.now, s.log); err != nil {
		return err
	}
	if s.rules, err = rules.New(ctx, s.cfg.rules(), s.machine); err != nil {
		return err
	}
	if s.faults, err = faults.New(s.machine); err != nil {
		return err
	}
	others := retain.Services{Artifact: s.artifact, Monitor: monitor, Ingest: ingestv1.NewIngestServiceClient(c), JS: s.js}
	if s.retention, err = retain.NewService(ctx, s.cfg.Retention, s.expired, others, s.now, s.log); err != nil {
		return err
	}
	s.registry = registry.New(s.machine, s.queue, s.expired)
	s.dispatch, err = dispatch.New(dispatch.Deps{
		Machine: s.machine, Rules: s.rules, Registry: s.registry, Faults: s.faults, Waiting: s.waiting, Monitor: monitor, Conn: s.nc,
	})
	return err
}

// Run serves until ctx ends, then finishes the requests under way.
func (s *Scheduler) Run(ctx context.Context) error {
	g := lifecycle.New(s.log)
	g.Go("pauses", func(ctx context.Context) error { return s.pauses.Run(ctx, nil) })
	g.Go("relay", s.machine.Relay.Run)
	g.Go("storage of the bus", s.storage.Run)
	g.Go("retained objects", s.retained.Run)
	g.Go("dispatch", s.dispatch.Run)
	g.Go("wake", s.dispatch.RunWake)
	g.Go("reconcile", s.queue.Run)
	g.Go("overdue", (&overdue{Scheduler: s}).run)
	g.Go("rules", s.rules.Run)
	g.Go("wait alerts", waitAlerts{s}.run)
	g.Go("retention", s.retention.Run)
	g.Go("consume", s.consume)
	g.Go("requests", func(ctx context.Context) error {
		return rpc.Run(ctx, s.nc, "scheduler", version.Version, s.log, s.serve)
	})
	return g.Run(ctx)
}

// Ready says why the scheduler cannot do its work now, nil if it can. It is safe for concurrent use.
func (s *Scheduler) Ready(ctx context.Context) error {
	if _, _, err := s.store.Summary(ctx); err != nil {
		return err
	}
	for _, stream := range []string{bus.EventsStream, bus.QueueStream} {
		if _, err := s.js.Stream(ctx, stream); err != nil {
			return fmt.Errorf("open %s: %w", stream, err)
		}
	}
	return nil
}
