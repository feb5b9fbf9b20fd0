package monitor

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/reports"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/stats"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/telemetry"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/watch"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/outbox"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// Deps are what a monitor works with. The caller closes them.
type Deps struct {
	DB   *database.DB
	Conn *nats.Conn
	Log  *slog.Logger
	// SyncEvents makes durable what the bus has acknowledged; nil: the bus does so before it acknowledges.
	SyncEvents func() error
	// pauses of this process; nil: the detector of package pause.
	pauses *pause.Detector
}

// Monitor is one replica. Make it with New, run it with Run.
type Monitor struct {
	cfg       Config
	store     *store.Store
	db        *database.DB
	relay     *database.Relay
	nc        *nats.Conn
	js        jetstream.JetStream
	log       *slog.Logger
	watcher   *watch.Watcher
	telemetry *telemetry.Collector
	stats     *stats.Counter
	requests  requests
}

// New migrates the monitor's schema; the scheduler makes the streams. It starts nothing.
func New(ctx context.Context, cfg Config, d Deps) (*Monitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("monitor configuration: %w", err)
	}
	log := d.Log.With("service", "monitor")
	st, err := store.New(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	js, err := bus.JetStream(d.Conn)
	if err != nil {
		return nil, err
	}
	if d.pauses == nil {
		d.pauses = pause.New(pause.Tick)
	}
	m := &Monitor{cfg: cfg, store: st, db: d.DB, relay: outbox.NewRelay(d.DB, js, d.SyncEvents, nil, log), nc: d.Conn, js: js, log: log}
	m.watcher = watch.New(watch.Config{
		Grace: cfg.Grace, Tick: cfg.Tick, WorkerTTL: cfg.WorkerTTL, StageTTLs: cfg.StageTTLs, ReconcileEvery: cfg.ReconcileEvery,
	}, watch.Deps{Store: st, Conn: d.Conn, JS: js, Pauses: d.pauses, Log: log})
	m.telemetry = telemetry.New(st, js, log)
	m.stats = stats.New(st.Stats, js, log)
	m.requests = requests{
		Collector: m.telemetry, Counter: m.stats, Reports: reports.New(st.Reports), expiry: expiry{st},
	}
	return m, nil
}

// Run watches until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	g := lifecycle.New(m.log)
	g.Go("relay", m.relay.Run)
	m.watcher.Add(g)
	g.Go("telemetry", m.telemetry.Run)
	g.Go("stats", m.stats.Run)
	g.Go("sweep", m.sweepLoop)
	g.Go("requests", m.requestsLoop)
	return g.Run(ctx)
}

// Ready returns why the monitor cannot work now, nil if it can. It is safe for concurrent use.
func (m *Monitor) Ready(ctx context.Context) error {
	if err := m.store.Ping(ctx); err != nil {
		return err
	}
	for _, stream := range []string{bus.EventsStream, bus.HeartbeatStream} {
		if _, err := m.js.Stream(ctx, stream); err != nil {
			return fmt.Errorf("open %s: %w", stream, err)
		}
	}
	return nil
}
