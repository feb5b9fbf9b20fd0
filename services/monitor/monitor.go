package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/outbox"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// Deps are what a monitor works with; it closes none of them.
type Deps struct {
	DB   *database.DB
	Conn *nats.Conn
	Log  *slog.Logger
	// SyncEvents makes durable what the bus has acknowledged; nil: the bus does so before it acknowledges.
	SyncEvents func() error
}

// Monitor is one replica. Make it with New, run it with Run.
type Monitor struct {
	cfg   Config
	store *store.Store
	relay *database.Relay
	nc    *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
	now   func() time.Time
	// pauses of this process: keys that expired meanwhile prove nothing.
	pauses *pause.Detector

	sight    sight
	silences silences
	paces    paces
	// back wakes the reconciliation after a reconnection.
	back chan struct{}
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
	return &Monitor{
		cfg: cfg, store: st, relay: outbox.NewRelay(d.DB, js, d.SyncEvents, nil, log), nc: d.Conn, js: js, log: log,
		now: func() time.Time { return time.Now().UTC() }, pauses: pause.New(pause.Tick), back: make(chan struct{}, 1),
	}, nil
}

// Run watches until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	m.sight = sight{held: m.now()}
	g := lifecycle.New(m.log)
	g.Go("pauses", m.pausesLoop)
	g.Go("relay", m.relay.Run)
	g.Go("events", m.eventsLoop)
	g.Go("markers", m.markersLoop)
	g.Go("connection", m.connectionLoop)
	g.Go("reconcile", m.reconcileLoop)
	g.Go("look", m.lookLoop)
	g.Go("telemetry", m.telemetryLoop)
	g.Go("stats", m.statsLoop)
	g.Go("silences", m.silencesLoop)
	g.Go("sweep", m.sweepLoop)
	g.Go("requests", m.requestsLoop)
	return g.Run(ctx)
}

// connectionLoop reconciles whenever the bus was away: events may have been lost with it.
func (m *Monitor) connectionLoop(ctx context.Context) error {
	changes := m.nc.StatusChanged(nats.CONNECTED)
	defer m.nc.RemoveStatusListener(changes)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-changes:
			if !ok {
				return nil
			}
			select {
			case m.back <- struct{}{}:
			default:
			}
		}
	}
}

// pausesLoop logs each pause. The looks ask for it themselves, before every verdict.
func (m *Monitor) pausesLoop(ctx context.Context) error {
	return m.pauses.Run(ctx, func(gap time.Duration) {
		m.log.WarnContext(ctx, "process was paused or the clock was set; verdicts wait for one heartbeat timeout", "gap", gap.Round(time.Millisecond))
	})
}

// Ready says why the monitor cannot do its work now, nil if it can. It is safe for concurrent use.
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
