package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// source is who our events say they come from.
const source = "monitor"

// lookLoop reads the keys of whatever is due.
func (m *Monitor) lookLoop(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.Tick)
	defer tick.Stop()
	for {
		if err := errors.Join(m.lookAtLeases(ctx), m.lookAtWorkers(ctx)); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "no look at heartbeats this time", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *Monitor) lookAtLeases(ctx context.Context) error {
	due, err := m.store.Due(ctx, m.now(), m.heldAt())
	if err != nil || len(due) == 0 {
		return err
	}
	return m.withBucket(ctx, func(kv jetstream.KeyValue) error {
		for _, l := range due {
			if err := m.lookAtLease(ctx, kv, l); err != nil {
				return err
			}
		}
		return nil
	})
}

// withBucket decides nothing while the bus cannot be asked.
func (m *Monitor) withBucket(ctx context.Context, f func(jetstream.KeyValue) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kv, err := m.js.KeyValue(ctx, bus.HeartbeatBucket)
	if err != nil {
		return fmt.Errorf("open the heartbeats: %w", err)
	}
	return f(kv)
}

// beat reads a key; nil means that it is absent.
func beat(ctx context.Context, kv jetstream.KeyValue, key string) (*eventsv1.Heartbeat, error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil //nolint:nilnil // absence is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("read heartbeat %s: %w", key, err)
	}
	var h eventsv1.Heartbeat
	if err := proto.Unmarshal(entry.Value(), &h); err != nil {
		return nil, fmt.Errorf("unpack heartbeat %s: %w", key, err)
	}
	return &h, nil
}

func (m *Monitor) lookAtLease(ctx context.Context, kv jetstream.KeyValue, l store.Lease) error {
	h, err := beat(ctx, kv, bus.LeaseKey(l.WorkerID, l.BuildID, l.Attempt))
	if err != nil {
		return err
	}
	if h == nil {
		return m.stall(ctx, l)
	}
	now := m.now()
	l.Since = now
	if h.GetTtlSeconds() > 0 {
		l.Stage, l.TTL = h.GetStage(), time.Duration(h.GetTtlSeconds())*time.Second
	}
	l.LookAt = now.Add(l.TTL + margin)
	return m.store.Alive(ctx, l)
}

func (m *Monitor) stall(ctx context.Context, l store.Lease) error {
	now := m.now()
	event, err := bus.NewMessage(ctx, source, bus.BuildSubject(l.BuildID, bus.Stalled), now, &eventsv1.BuildStalled{
		BuildId: l.BuildID, Attempt: l.Attempt, WorkerId: l.WorkerID, Stage: l.Stage, SilentSinceMs: l.Since.UnixMilli(),
	})
	if err != nil {
		return err
	}
	m.log.WarnContext(ctx, "attempt stalled", "build_id", l.BuildID, "attempt", l.Attempt, "worker_id", l.WorkerID, "stage", l.Stage)
	return m.store.Stall(ctx, l, event)
}

func (m *Monitor) lookAtWorkers(ctx context.Context) error {
	now := m.now()
	if now.Sub(m.heldAt()) < m.cfg.WorkerTTL {
		return nil
	}
	due, err := m.store.DueWorkers(ctx, now)
	if err != nil || len(due) == 0 {
		return err
	}
	return m.withBucket(ctx, func(kv jetstream.KeyValue) error {
		for _, id := range due {
			if err := m.lookAtWorker(ctx, kv, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *Monitor) lookAtWorker(ctx context.Context, kv jetstream.KeyValue, id string) error {
	h, err := beat(ctx, kv, bus.WorkerKey(id))
	if err != nil {
		return err
	}
	now := m.now()
	if h != nil {
		return m.store.WatchWorker(ctx, id, now.Add(m.cfg.WorkerTTL+margin))
	}
	event, err := bus.NewMessage(ctx, source, bus.WorkerSubject(id, bus.Offline), now, &eventsv1.WorkerOffline{
		WorkerId: id, AtMs: now.UnixMilli(),
	})
	if err != nil {
		return err
	}
	m.log.InfoContext(ctx, "worker went offline", "worker_id", id)
	return m.store.Leave(ctx, id, event)
}
