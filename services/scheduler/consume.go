package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// consumeLoop hears what the monitor says: silent attempts and silent workers.
func (s *Scheduler) consumeLoop(ctx context.Context) error {
	return bus.Consume(ctx, s.js, bus.Consumer{
		Stream: bus.EventsStream, Durable: "scheduler", Parallel: 1,
		Filters: []string{bus.BuildSubjects(bus.Stalled), bus.WorkerSubjects(bus.Offline)},
	}, s.hear, s.log)
}

func (s *Scheduler) hear(ctx context.Context, m jetstream.Msg) error {
	_, event, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	switch event {
	case bus.Stalled:
		return s.hearStalled(ctx, m.Data())
	case bus.Offline:
		return s.hearOffline(ctx, m.Data())
	default:
		return fmt.Errorf("%w: event %s", bus.ErrDrop, event)
	}
}

func (s *Scheduler) hearStalled(ctx context.Context, data []byte) error {
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

func (s *Scheduler) hearOffline(ctx context.Context, data []byte) error {
	var e eventsv1.WorkerOffline
	if err := bus.Decode(data, &e); err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	return s.workerOffline(ctx, e.GetWorkerId(), time.UnixMilli(e.GetAtMs()))
}
