package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
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
}

// Scheduler is one replica. Make it with New, run it with Run; its methods are safe for concurrent use.
type Scheduler struct {
	cfg   Config
	store *store.Store
	relay *database.Relay
	// storage knows whether the bus can store.
	storage  *streamhealth.Watcher
	retained *retention.Marker
	retainer *retainer
	services services
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	now      func() time.Time
	// pauses of this process: workers could not report meanwhile.
	pauses *pause.Detector

	woken   chan struct{}
	waiting atomic.Int64
	// admitting counts the submits under way.
	admitting atomic.Int64
	// counting guards counted, when waiting was last counted.
	counting sync.Mutex
	counted  time.Time
	deck     deck

	timeouts  timeouts
	rules     rules
	estimates *estimates
	forecasts forecasts
	lanes     lanes
	fleet     fleet
	meter     meter
	faults    faults
}

// New migrates the scheduler's schema and makes the streams; it starts nothing.
func New(ctx context.Context, cfg Config, d Deps) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("scheduler configuration: %w", err)
	}
	log := d.Log.With("service", "scheduler")
	st, err := store.New(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	js, err := bus.JetStream(d.Conn)
	if err != nil {
		return nil, err
	}
	s := &Scheduler{
		cfg: cfg, store: st, services: newServices(rpc.Client{Conn: d.Conn}), nc: d.Conn, js: js, log: log, woken: make(chan struct{}, 1),
		storage: streamhealth.New(streamhealth.Config{Conn: d.Conn, JS: js, Log: log}), now: func() time.Time { return time.Now().UTC() },
		pauses: pause.New(pause.Tick),
	}
	s.relay = outbox.NewRelay(d.DB, js, d.SyncEvents, s.storage, log)
	if s.estimates, err = newEstimates(s); err != nil {
		return nil, err
	}
	if s.meter, err = newMeter(); err != nil {
		return nil, err
	}
	if err := s.readTimeouts(ctx); err != nil {
		return nil, err
	}
	s.rules.ageEvery = cfg.AgeEvery
	if err := s.readRules(ctx); err != nil {
		return nil, err
	}
	s.retained = retention.NewMarker(d.Conn, log)
	if s.retainer, err = s.newRetainer(ctx, d); err != nil {
		return nil, err
	}
	if err := s.makeTopology(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Run serves until ctx ends, then finishes the requests under way.
func (s *Scheduler) Run(ctx context.Context) error {
	g := lifecycle.New(s.log)
	g.Go("pauses", func(ctx context.Context) error { return s.pauses.Run(ctx, nil) })
	g.Go("relay", s.relay.Run)
	g.Go("storage of the bus", s.storage.Run)
	g.Go("retained objects", s.retained.Run)
	g.Go("release", s.releaseLoop)
	g.Go("wake", s.wakeLoop)
	g.Go("reconcile", s.reconcileLoop)
	g.Go("overdue", s.overdueLoop)
	g.Go("timeouts", s.timeoutsLoop)
	g.Go("rules", s.rulesLoop)
	g.Go("waiting", s.waitingLoop)
	g.Go("retention", s.retainer.sweeper.Run)
	g.Go("consume", s.consumeLoop)
	g.Go("requests", func(ctx context.Context) error {
		return rpc.Run(ctx, s.nc, "scheduler", version.Version, s.log, s.serve)
	})
	return g.Run(ctx)
}
