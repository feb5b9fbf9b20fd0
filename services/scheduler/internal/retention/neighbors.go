package retention

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Services are the other services, over the bus.
type Services struct {
	Artifact artifactv1.ArtifactServiceClient
	Monitor  monitorv1.MonitorServiceClient
	Ingest   ingestv1.IngestServiceClient
	JS       jetstream.JetStream
}

var _ Neighbors = Services{}

// cleanTimeout bounds one request. A service ends one after 30 s; deletions in an object store far away take seconds.
const cleanTimeout = 30 * time.Second

// Clean implements Neighbors.
func (s Services) Clean(ctx context.Context, ids []string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	deleted, err := s.Artifact.ExpireBuilds(ctx, &artifactv1.ExpireBuildsRequest{BuildIds: ids})
	if err == nil {
		_, err = s.Monitor.ExpireBuilds(ctx, &monitorv1.ExpireBuildsRequest{BuildIds: ids})
	}
	if err == nil {
		_, err = s.Ingest.ExpireBuilds(ctx, &ingestv1.ExpireBuildsRequest{BuildIds: ids})
	}
	return deleted.GetBytes(), err
}

// Forget implements Neighbors. The events go last of all: figures of days can be counted anew from them meanwhile.
func (s Services) Forget(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	_, err := s.Ingest.ExpireBuilds(ctx, &ingestv1.ExpireBuildsRequest{BuildIds: ids, Forget: true})
	if err != nil {
		return err
	}
	for name, subjects := range map[string]func(string) string{bus.EventsStream: bus.BuildSubjectsOf, bus.TelemetryStream: bus.TelemetrySubjectsOf} {
		stream, err := s.JS.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, name, err)
		}
		for _, id := range ids {
			if _, err := bus.DeleteOldest(ctx, stream, subjects(id), math.MaxUint64); err != nil {
				return fmt.Errorf("%w: delete messages of %s: %w", build.ErrUnavailable, subjects(id), err)
			}
		}
	}
	return nil
}

// ForgetWorkers implements Neighbors.
func (s Services) ForgetWorkers(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	_, err := s.Monitor.ForgetWorkers(ctx, &monitorv1.ForgetWorkersRequest{WorkerIds: ids})
	if err != nil {
		return err
	}
	_, err = s.Ingest.ForgetWorkers(ctx, &ingestv1.ForgetWorkersRequest{WorkerIds: ids})
	return err
}

// Measure implements Neighbors.
func (s Services) Measure(ctx context.Context, ids []string) (int64, error) {
	stored, err := s.Artifact.MeasureBuilds(ctx, &artifactv1.MeasureBuildsRequest{BuildIds: ids})
	return stored.GetBytes(), err
}
