package scheduler

import (
	"context"
	"fmt"
	"math"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// neighbors asks the other services over the bus.
type neighbors struct{ s *Scheduler }

var _ retention.Neighbors = neighbors{}

// cleanTimeout bounds one request. A service ends one after 30 s; deletions in an object store far away take seconds.
const cleanTimeout = 30 * time.Second

// Clean implements retention.Neighbors.
func (n neighbors) Clean(ctx context.Context, ids []string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	deleted, err := n.s.services.artifact.ExpireBuilds(ctx, &artifactv1.ExpireBuildsRequest{BuildIds: ids})
	if err == nil {
		_, err = n.s.services.monitor.ExpireBuilds(ctx, &monitorv1.ExpireBuildsRequest{BuildIds: ids})
	}
	if err == nil {
		_, err = n.s.services.ingest.ExpireBuilds(ctx, &ingestv1.ExpireBuildsRequest{BuildIds: ids})
	}
	return deleted.GetBytes(), err
}

// Forget implements retention.Neighbors. The events go last of all: figures of days can be counted anew from them meanwhile.
func (n neighbors) Forget(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	_, err := n.s.services.ingest.ExpireBuilds(ctx, &ingestv1.ExpireBuildsRequest{BuildIds: ids, Forget: true})
	if err != nil {
		return err
	}
	for name, subjects := range map[string]func(string) string{bus.EventsStream: bus.BuildSubjectsOf, bus.TelemetryStream: bus.TelemetrySubjectsOf} {
		stream, err := n.s.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, name, err)
		}
		for _, id := range ids {
			// By sequence: a purge by subject makes nats-server 2.15 forget other messages that wait for redelivery.
			if _, err := deleteOldest(ctx, stream, subjects(id), math.MaxUint64); err != nil {
				return fmt.Errorf("%w: delete messages of %s: %w", build.ErrUnavailable, subjects(id), err)
			}
		}
	}
	return nil
}

// ForgetWorkers implements retention.Neighbors.
func (n neighbors) ForgetWorkers(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	_, err := n.s.services.monitor.ForgetWorkers(ctx, &monitorv1.ForgetWorkersRequest{WorkerIds: ids})
	if err != nil {
		return err
	}
	_, err = n.s.services.ingest.ForgetWorkers(ctx, &ingestv1.ForgetWorkersRequest{WorkerIds: ids})
	return err
}

// Measure implements retention.Neighbors.
func (n neighbors) Measure(ctx context.Context, ids []string) (int64, error) {
	stored, err := n.s.services.artifact.MeasureBuilds(ctx, &artifactv1.MeasureBuildsRequest{BuildIds: ids})
	return stored.GetBytes(), err
}
