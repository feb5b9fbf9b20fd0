package watch

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/cache"
)

// workers watches workers. It remembers the TTL that each asks for, which changes rarely, so that a heartbeat costs no write. It is
// safe for concurrent use except looked and swept, which only the loop that looks at heartbeats uses.
type workers struct {
	store *store.Workers
	ttl   time.Duration // of those that ask for none

	ttls *cache.Cache[string, time.Duration]

	// looked is when due workers were last read, and swept the busHealth.holdFrom for which all workers were made due.
	looked, swept time.Time
}

// maxTTLs bounds the memory. A TTL that was dropped is written once more.
const maxTTLs = 50_000

// ttlOf returns the TTL that a heartbeat asks for.
func (w *workers) ttlOf(h *eventsv1.Heartbeat) time.Duration {
	if h.GetTtlSeconds() <= 0 {
		return w.ttl
	}
	return seconds(h.GetTtlSeconds())
}

// setTTL stores the TTL that a worker's heartbeat asks for.
func (w *workers) setTTL(ctx context.Context, workerID string, h *eventsv1.Heartbeat) error {
	ttl := w.ttlOf(h)
	if was, ok := w.ttls.Get(workerID); h.GetWorkerId() != workerID || ok && was == ttl {
		return nil
	}
	if err := w.store.SetTTL(ctx, workerID, ttl); err != nil {
		return err
	}
	w.ttls.Put(workerID, ttl)
	return nil
}

// watch expects a heartbeat soon, so that a worker that dies before its first one is found as well.
func (w *workers) watch(ctx context.Context, workerID string) error {
	ttl, ok := w.ttls.Get(workerID)
	if !ok {
		ttl = w.ttl
	}
	return w.store.Watch(ctx, store.Worker{ID: workerID, TTL: ttl, LookAt: now().Add(max(2*w.ttl, ttl+margin))})
}

// workersEvery is how often workers that are due are read: nothing waits for the news that one is offline.
const workersEvery = time.Second

func (w *Watcher) lookAtWorkers(ctx context.Context) error {
	if now().Sub(w.workers.looked) < workersEvery {
		return nil
	}
	w.workers.looked = now()
	hold := w.health.holdFrom
	if !w.workers.swept.Equal(hold) { // keys may have gone without markers
		if err := errors.Join(w.workers.store.SuspectAll(ctx, hold), w.leases.SuspectAll(ctx, hold, w.cfg.Grace)); err != nil {
			return err
		}
		w.workers.swept = hold
	}
	due, err := w.workers.store.Due(ctx, now(), hold)
	if err != nil {
		return err
	}
	return lookAtEach(ctx, &w.health, due, w.lookAtWorker)
}

// WorkerTTLs is after how many TTLs the key of a worker is read although no marker came. Markers wait for us, and when the bus has
// forgotten keys all workers are due; so there is no need to read each idle worker's key within each TTL.
const WorkerTTLs = 8

func (w *Watcher) lookAtWorker(ctx context.Context, kv jetstream.KeyValue, due store.Worker) error {
	h, err := heartbeat(ctx, kv, due.ID, bus.WorkerKey(due.ID), w.log)
	if err != nil {
		return err
	}
	if h != nil {
		seen := store.Worker{TTL: w.workers.ttlOf(h)}
		seen.LookAt = now().Add(WorkerTTLs*seen.TTL + margin)
		return w.workers.store.Alive(ctx, due, seen)
	}
	return w.leave(ctx, due)
}

func (w *Watcher) leave(ctx context.Context, due store.Worker) error {
	if !w.health.canJudge(due.TTL) {
		return nil
	}
	at := now()
	event, err := bus.NewMessage(ctx, source, bus.WorkerSubject(due.ID, bus.Offline), at, &eventsv1.WorkerOffline{
		WorkerId: due.ID, AtMs: at.UnixMilli(),
	})
	if err != nil {
		return err
	}
	ours, err := w.workers.store.Leave(ctx, due, event)
	if ours {
		w.log.InfoContext(ctx, "worker went offline", "worker_id", due.ID)
	}
	return err
}
