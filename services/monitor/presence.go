package monitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// paces remembers the TTL of each worker's beats, which changes seldom, so that a beat costs no write. The zero value knows none; it
// is safe for concurrent use.
type paces struct {
	mu   sync.Mutex
	ttls map[string]time.Duration
}

// maxPaces bounds the memory; what is forgotten is written once more.
const maxPaces = 50_000

func (p *paces) of(workerID string) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ttl, ok := p.ttls[workerID]
	return ttl, ok
}

func (p *paces) put(workerID string, ttl time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ttls == nil || len(p.ttls) >= maxPaces {
		p.ttls = map[string]time.Duration{}
	}
	p.ttls[workerID] = ttl
}

// workerTTL is what a worker's beat asks for; one that says nothing gets what is configured.
func (m *Monitor) workerTTL(h *eventsv1.Heartbeat) time.Duration {
	if h.GetTtlSeconds() <= 0 {
		return m.cfg.WorkerTTL
	}
	return seconds(h.GetTtlSeconds())
}

// hearWorker takes from a worker's beat how long its silence is forgiven.
func (m *Monitor) hearWorker(ctx context.Context, workerID string, h *eventsv1.Heartbeat) error {
	ttl := m.workerTTL(h)
	if was, ok := m.paces.of(workerID); h.GetWorkerId() != workerID || ok && was == ttl {
		return nil
	}
	if err := m.store.PaceWorker(ctx, workerID, ttl); err != nil {
		return err
	}
	m.paces.put(workerID, ttl)
	return nil
}

// watchWorker expects a beat soon: a worker that dies before its first is found, too.
func (m *Monitor) watchWorker(ctx context.Context, workerID string) error {
	ttl, ok := m.paces.of(workerID)
	if !ok {
		ttl = m.cfg.WorkerTTL
	}
	return m.store.WatchWorker(ctx, store.Worker{ID: workerID, TTL: ttl, LookAt: m.now().Add(max(2*m.cfg.WorkerTTL, ttl+margin))})
}

// workersEvery is how often workers that are due are looked for: that one is gone is known a second late, and nothing waits for it.
const workersEvery = time.Second

func (m *Monitor) lookAtWorkers(ctx context.Context) error {
	if m.now().Sub(m.sight.workers) < workersEvery {
		return nil
	}
	m.sight.workers = m.now()
	if !m.sight.swept.Equal(m.sight.held) {
		err := errors.Join(m.store.SuspectWorkers(ctx, m.sight.held), m.store.SuspectLeases(ctx, m.sight.held, m.cfg.Grace))
		if err != nil {
			return err
		}
		m.sight.swept = m.sight.held
	}
	due, err := m.store.DueWorkers(ctx, m.now(), m.sight.held)
	if err != nil {
		return err
	}
	return lookAtEach(ctx, m, due, m.lookAtWorker)
}

// lookAnyway says after how many TTLs a worker that was there is looked at though no marker was heard. Markers wait for us, and when
// the bus has forgotten keys every worker is looked at; what is left is not worth a look at each idle worker within each TTL.
const lookAnyway = 8

func (m *Monitor) lookAtWorker(ctx context.Context, kv jetstream.KeyValue, due store.Worker) error {
	h, err := m.beat(ctx, kv, due.ID, bus.WorkerKey(due.ID))
	if err != nil {
		return err
	}
	if h != nil {
		seen := store.Worker{TTL: m.workerTTL(h)}
		seen.LookAt = m.now().Add(lookAnyway*seen.TTL + margin)
		return m.store.WorkerAlive(ctx, due, seen)
	}
	return m.leave(ctx, due)
}

func (m *Monitor) leave(ctx context.Context, due store.Worker) error {
	if !m.trusts(due.TTL) {
		return nil
	}
	now := m.now()
	event, err := bus.NewMessage(ctx, source, bus.WorkerSubject(due.ID, bus.Offline), now, &eventsv1.WorkerOffline{
		WorkerId: due.ID, AtMs: now.UnixMilli(),
	})
	if err != nil {
		return err
	}
	ours, err := m.store.Leave(ctx, due, event)
	if ours {
		m.log.InfoContext(ctx, "worker went offline", "worker_id", due.ID)
	}
	return err
}
