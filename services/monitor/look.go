package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
	blind := false // so that an outage is two lines in the log and not ten a second
	for {
		err := m.look(ctx)
		switch {
		case err != nil && !blind && ctx.Err() == nil:
			m.log.WarnContext(ctx, "heartbeats cannot be looked at, no verdict meanwhile", "err", err)
		case err == nil && blind:
			m.log.InfoContext(ctx, "heartbeats can be looked at again")
		}
		blind = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (m *Monitor) look(ctx context.Context) error {
	if err := m.probe(ctx); err != nil {
		return err
	}
	return errors.Join(m.lookAtLeases(ctx), m.lookAtWorkers(ctx))
}

func (m *Monitor) lookAtLeases(ctx context.Context) error {
	now := m.now()
	if now.Sub(m.sight.watched) >= restEvery {
		watching, err := m.store.Watching(ctx)
		if err != nil {
			return err
		}
		m.sight.watched, m.sight.rest = now, !watching
	}
	if m.sight.rest {
		return nil
	}
	due, err := m.store.Due(ctx, now, m.sight.held)
	if err != nil {
		return err
	}
	return lookAtEach(ctx, m, due, m.lookAtLease)
}

// restEvery is how long looks at leases rest while there is none: one that comes meanwhile is not due before, a TTL is a second at least.
const restEvery = time.Second

// lookAtEach opens the bucket if anything is due. One that cannot be looked at does not keep the others from it: it stays due.
func lookAtEach[T any](ctx context.Context, m *Monitor, due []T, look func(context.Context, jetstream.KeyValue, T) error) error {
	if len(due) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	kv, err := m.open(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, d := range due {
		if err := look(ctx, kv, d); err != nil {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

// roundTimeout bounds the looks at what was due at once.
const roundTimeout = 5 * time.Second

// beat reads a worker's key; nil means that it is absent. A value that does not name its worker is no sign of life: NATS lets
// a client choose where the acknowledgement of its own publish goes, so another worker could have one land on this key, where
// it would never expire.
func (m *Monitor) beat(ctx context.Context, kv jetstream.KeyValue, workerID, key string) (*eventsv1.Heartbeat, error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil // absence is the answer
	}
	if err != nil {
		return nil, fmt.Errorf("read heartbeat %s: %w", key, err)
	}
	var h eventsv1.Heartbeat
	if err := bus.Decode(entry.Value(), &h); err != nil {
		m.log.WarnContext(ctx, "heartbeat cannot be read, it does not count as life", "key", key, "err", err)
		return nil, nil // as good as absent
	}
	if h.GetWorkerId() != workerID {
		m.log.WarnContext(ctx, "heartbeat names another worker, it does not count as life", "key", key, "named", h.GetWorkerId())
		return nil, nil // as good as absent
	}
	return &h, nil
}

func (m *Monitor) lookAtLease(ctx context.Context, kv jetstream.KeyValue, due store.Lease) error {
	h, err := m.beat(ctx, kv, due.WorkerID, bus.LeaseKey(due.WorkerID, due.BuildID, due.Attempt))
	if err != nil {
		return err
	}
	if h == nil {
		return m.lookFurther(ctx, due)
	}
	now, seen := m.now(), due
	seen.Since = now
	if h.GetTtlSeconds() > 0 {
		seen.Stage, seen.TTL = h.GetStage(), min(time.Duration(h.GetTtlSeconds())*time.Second, maxTTL)
	}
	seen.LookAt = now.Add(seen.TTL + margin)
	return m.store.Alive(ctx, due, seen)
}

// lookFurther is for a lease whose key is gone. Telemetry may have been heard within its TTL, or its project and stage may be
// known for longer silences than that: the key's own TTL is as old as its last beat.
func (m *Monitor) lookFurther(ctx context.Context, due store.Lease) error {
	now := m.now()
	if heard := due.Heard.Add(due.TTL); heard.After(now) {
		seen := due
		seen.Since, seen.LookAt = due.Heard, heard.Add(m.cfg.Grace)
		return m.store.Alive(ctx, due, seen)
	}
	if !due.Extended {
		patience, err := m.patience(ctx, due.Project, due.Stage)
		if err != nil {
			return err
		}
		if more := patience - due.TTL; more > 0 {
			m.log.InfoContext(ctx, "attempt silent for longer than its stage forgives, and not longer than its project's often are",
				"build_id", due.BuildID, "attempt", due.Attempt, "stage", due.Stage, "waiting", more.Round(time.Second))
			return m.store.Extend(ctx, due, now.Add(more))
		}
	}
	return m.stall(ctx, due)
}

// maxTTL bounds what a heartbeat may say: no verdict falls within one TTL of a restart.
const maxTTL = time.Hour

// stall is the verdict, unless the bus was away between the time at which the lease was due and now.
func (m *Monitor) stall(ctx context.Context, due store.Lease) error {
	if !m.trusts(due.TTL) {
		return nil
	}
	event, err := bus.NewMessage(ctx, source, bus.BuildSubject(due.BuildID, bus.Stalled), m.now(), &eventsv1.BuildStalled{
		BuildId: due.BuildID, Attempt: due.Attempt, WorkerId: due.WorkerID, Stage: due.Stage, SilentSinceMs: due.Since.UnixMilli(),
	})
	if err != nil {
		return err
	}
	ours, err := m.store.Stall(ctx, due, event)
	if ours {
		m.log.WarnContext(ctx, "attempt stalled",
			"build_id", due.BuildID, "attempt", due.Attempt, "worker_id", due.WorkerID, "stage", due.Stage)
	}
	return err
}
