package watch

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/cache"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// Config of a watcher.
type Config struct {
	// Grace between an expiry and the verdict.
	Grace time.Duration
	// Tick is how often leases that are due are read.
	Tick time.Duration
	// WorkerTTL is the heartbeat timeout of a worker whose heartbeats name none.
	WorkerTTL time.Duration
	// StageTTLs are the heartbeat timeouts by stage, until a heartbeat names its own.
	StageTTLs map[build.Stage]time.Duration
	// ReconcileEvery compares what is watched with the scheduler's leases, besides at start and after a reconnection.
	ReconcileEvery time.Duration
}

// Deps are what a watcher works with.
type Deps struct {
	Store  *store.Store
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Pauses *pause.Detector
	Log    *slog.Logger
}

// Watcher publishes which attempts have stalled and which workers are offline.
type Watcher struct {
	cfg      Config
	leases   *store.Leases
	workers  *workers
	silences *silences
	nc       *nats.Conn
	js       jetstream.JetStream
	pauses   *pause.Detector
	log      *slog.Logger

	health busHealth
	// checked is when the loop last asked whether there are leases, and idle that there were none.
	checked time.Time
	idle    bool
	// reconnected wakes the reconciliation.
	reconnected chan struct{}
}

// New returns a watcher.
func New(cfg Config, d Deps) *Watcher {
	return &Watcher{
		cfg: cfg, leases: d.Store.Leases, workers: &workers{store: d.Store.Workers, ttl: cfg.WorkerTTL, ttls: cache.New[string, time.Duration](maxTTLs, 0)},
		silences: &silences{store: d.Store.Silences, leases: d.Store.Leases, log: d.Log, projects: cache.New[string, string](maxProjects, 0)},
		nc:       d.Conn, js: d.JS, pauses: d.Pauses, log: d.Log, reconnected: make(chan struct{}, 1),
		health: busHealth{nc: d.Conn, js: d.JS, pauses: d.Pauses},
	}
}

// Add adds the loops to a group. Verdicts are held for one TTL from now.
func (w *Watcher) Add(g *lifecycle.Group) {
	w.health.holdFrom = now()
	g.Go("pauses", w.pausesLoop)
	g.Go("events", w.ConsumeEvents)
	g.Go("markers", w.consumeHeartbeats)
	g.Go("connection", w.connectionLoop)
	g.Go("reconcile", w.reconcileLoop)
	g.Go("look", w.lookLoop)
	g.Go("silences", w.silences.loop)
}

func now() time.Time { return time.Now().UTC() }

// margin is how long after its expiry a key is read again if no marker came.
const margin = 2 * time.Second

// connectionLoop wakes the reconciliation after each reconnection: events may be lost.
func (w *Watcher) connectionLoop(ctx context.Context) error {
	changes := w.nc.StatusChanged(nats.CONNECTED)
	defer w.nc.RemoveStatusListener(changes)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-changes:
			if !ok {
				return nil
			}
			select {
			case w.reconnected <- struct{}{}:
			default:
			}
		}
	}
}

// pausesLoop logs each pause. busHealth asks for pauses itself, before every verdict.
func (w *Watcher) pausesLoop(ctx context.Context) error {
	return w.pauses.Run(ctx, func(gap time.Duration) {
		w.log.WarnContext(ctx, "process was paused or the clock was set; stall detection resumes after one heartbeat timeout", "gap", gap.Round(time.Millisecond))
	})
}
