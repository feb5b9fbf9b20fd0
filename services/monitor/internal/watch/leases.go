package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// source is the origin in our events.
const source = "monitor"

// lookLoop reads the keys of leases and workers that are due.
func (w *Watcher) lookLoop(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Tick)
	defer tick.Stop()
	failing := false // so that an outage is two lines in the log and not ten a second
	for {
		err := w.look(ctx)
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			w.log.WarnContext(ctx, "read heartbeats failed; stall detection is suspended", "err", err)
		case err == nil && failing:
			w.log.InfoContext(ctx, "heartbeats can be read again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Watcher) look(ctx context.Context) error {
	if err := w.health.probe(ctx); err != nil {
		return err
	}
	return errors.Join(w.lookAtLeases(ctx), w.lookAtWorkers(ctx))
}

func (w *Watcher) lookAtLeases(ctx context.Context) error {
	at := now()
	if at.Sub(w.checked) >= idleEvery {
		watching, err := w.leases.Any(ctx)
		if err != nil {
			return err
		}
		w.checked, w.idle = at, !watching
	}
	if w.idle {
		return nil
	}
	due, err := w.leases.Due(ctx, at, w.health.holdFrom)
	if err != nil {
		return err
	}
	return lookAtEach(ctx, &w.health, due, w.lookAtLease)
}

// idleEvery is how often the loop asks for leases while there is none: a new one is not due earlier, since a TTL is at least a second.
const idleEvery = time.Second

// lookAtEach calls look with everything that is due. What fails stays due, and does not stop the others.
func lookAtEach[T any](ctx context.Context, health *busHealth, due []T, look func(context.Context, jetstream.KeyValue, T) error) error {
	if len(due) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	kv, err := health.open(ctx)
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

// roundTimeout bounds a round of look.
const roundTimeout = 5 * time.Second

// heartbeat reads a worker's key; nil means that it is absent. A value that does not name its worker counts as absent: NATS lets a
// client choose where the acknowledgement of its own publish goes, so another worker could direct one to this key, where it would
// never expire.
func heartbeat(ctx context.Context, kv jetstream.KeyValue, workerID, key string, log *slog.Logger) (*eventsv1.Heartbeat, error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil // absent
	}
	if err != nil {
		return nil, fmt.Errorf("read heartbeat %s: %w", key, err)
	}
	var h eventsv1.Heartbeat
	if err := bus.Decode(entry.Value(), &h); err != nil {
		log.WarnContext(ctx, "unreadable heartbeat ignored", "key", key, "err", err)
		return nil, nil
	}
	if h.GetWorkerId() != workerID {
		log.WarnContext(ctx, "heartbeat of another worker ignored", "key", key, "named", h.GetWorkerId())
		return nil, nil
	}
	return &h, nil
}

func (w *Watcher) lookAtLease(ctx context.Context, kv jetstream.KeyValue, due store.Lease) error {
	h, err := heartbeat(ctx, kv, due.WorkerID, bus.LeaseKey(due.WorkerID, due.BuildID, due.Attempt), w.log)
	if err != nil {
		return err
	}
	if h == nil {
		return w.confirmStalled(ctx, due)
	}
	seen := due
	seen.Since = now()
	if h.GetTtlSeconds() > 0 {
		seen.Stage, seen.TTL = h.GetStage(), min(time.Duration(h.GetTtlSeconds())*time.Second, store.MaxTTL)
	}
	seen.LookAt = seen.Since.Add(seen.TTL + margin)
	return w.leases.Alive(ctx, due, seen)
}

// confirmStalled decides on a lease whose key is gone. The verdict waits if telemetry came within the TTL, or if builds of this project
// are often silent for longer in this stage.
func (w *Watcher) confirmStalled(ctx context.Context, due store.Lease) error {
	at := now()
	if heard := due.Heard.Add(due.TTL); heard.After(at) {
		seen := due
		seen.Since, seen.LookAt = due.Heard, heard.Add(w.cfg.Grace)
		return w.leases.Alive(ctx, due, seen)
	}
	if !due.Extended {
		allowed, err := w.silences.allowed(ctx, due.Project, due.Stage)
		if err != nil {
			return err
		}
		if more := allowed - due.TTL; more > 0 {
			w.log.InfoContext(ctx, "heartbeat timeout extended by the project's usual silences",
				"build_id", due.BuildID, "attempt", due.Attempt, "stage", due.Stage, "waiting", more.Round(time.Second))
			return w.leases.Extend(ctx, due, at.Add(more))
		}
	}
	return w.stall(ctx, due)
}

// stall is the verdict, unless absence proves nothing now.
func (w *Watcher) stall(ctx context.Context, due store.Lease) error {
	if !w.health.canJudge(due.TTL) {
		return nil
	}
	event, err := bus.NewMessage(ctx, source, bus.BuildSubject(due.BuildID, bus.Stalled), now(), &eventsv1.BuildStalled{
		BuildId: due.BuildID, Attempt: due.Attempt, WorkerId: due.WorkerID, Stage: due.Stage, SilentSinceMs: due.Since.UnixMilli(),
	})
	if err != nil {
		return err
	}
	ours, err := w.leases.Stall(ctx, due, event)
	if ours {
		w.log.WarnContext(ctx, "attempt stalled",
			"build_id", due.BuildID, "attempt", due.Attempt, "worker_id", due.WorkerID, "stage", due.Stage)
	}
	return err
}
