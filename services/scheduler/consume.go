package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// consume handles what the monitor finds: attempts and workers whose heartbeats are missing.
func (s *Scheduler) consume(ctx context.Context) error {
	return bus.Consume(ctx, s.js, bus.Consumer{
		Stream: bus.EventsStream, Durable: "scheduler", Parallel: 1,
		Filters: []string{bus.BuildSubjects(bus.Stalled), bus.WorkerSubjects(bus.Offline)},
	}, s.handle, s.log)
}

func (s *Scheduler) handle(ctx context.Context, m jetstream.Msg) error {
	_, event, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	switch event {
	case bus.Stalled:
		return s.attemptStalled(ctx, m.Data())
	case bus.Offline:
		return s.workerOffline(ctx, m.Data())
	default:
		return fmt.Errorf("%w: event %s", bus.ErrDrop, event)
	}
}

func (s *Scheduler) attemptStalled(ctx context.Context, data []byte) error {
	var e eventsv1.BuildStalled
	if err := bus.Decode(data, &e); err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	why := "its worker went silent"
	if e.GetStage() != "" {
		why += " in stage " + e.GetStage()
	}
	return s.loseLease(ctx, e.GetBuildId(), e.GetAttempt(), why)
}

func (s *Scheduler) workerOffline(ctx context.Context, data []byte) error {
	var e eventsv1.WorkerOffline
	if err := bus.Decode(data, &e); err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	return s.registry.Offline(ctx, e.GetWorkerId(), time.UnixMilli(e.GetAtMs()))
}

// loseLease ends an attempt whose heartbeats are missing. It is no error if the lease has ended already.
func (s *Scheduler) loseLease(ctx context.Context, buildID string, attempt int32, why string) error {
	b, err := s.machine.Update(ctx, buildID, func(tx *store.Tx, b store.Build) (store.Build, error) {
		if !b.State.Leased() || b.Attempt != attempt {
			return b, transition.LeaseLost(b, attempt)
		}
		return s.machine.Lose(ctx, tx, b, why)
	})
	switch {
	case errors.Is(err, build.ErrLeaseLost), errors.Is(err, build.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	s.log.InfoContext(ctx, "attempt lost", "build_id", b.ID, "attempt", attempt, "state", b.State, "why", why)
	return nil
}
