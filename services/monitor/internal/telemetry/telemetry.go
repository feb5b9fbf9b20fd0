package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Samples are stored in batches of a hundred, or after a tenth of a second; when behind, in batches of two thousand.
const (
	batchSize = 100
	batchMost = 2000
	batchWait = 100 * time.Millisecond
)

// maxCPU in percent of one core and maxMemory in MB bound a sample: more is a fault of the machine. Those of API v1 are in its
// contract.
const (
	maxCPU      = 100 * 1024
	maxMemory   = 1e7
	maxCPUV1    = 1000
	maxMemoryV1 = 1e6
)

// Collector stores samples and answers what builds used.
type Collector struct {
	samples *store.Samples
	leases  *store.Leases
	js      jetstream.JetStream
	log     *slog.Logger
}

// New returns a collector.
func New(s *store.Store, js jetstream.JetStream, log *slog.Logger) *Collector {
	return &Collector{samples: s.Samples, leases: s.Leases, js: js, log: log}
}

// Run stores samples, and records them as signs of life, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	return bus.ConsumeLoop(ctx, c.log, func() error {
		return bus.ConsumeBatches(ctx, c.js, bus.Consumer{
			Stream: bus.TelemetryStream, Durable: "monitor-telemetry", Filters: []string{bus.TelemetrySubjects()},
		}, bus.Batch{Size: batchSize, Most: batchMost, Wait: batchWait}, c.store, c.log)
	})
}

func (c *Collector) store(ctx context.Context, msgs []jetstream.Msg) error {
	samples, dropped := make([]store.Sample, 0, len(msgs)), int64(0)
	for _, msg := range msgs {
		s, err := sampleOf(msg)
		if err != nil {
			dropped++
			c.log.DebugContext(ctx, "sample dropped", "subject", msg.Subject(), "err", err)
			continue
		}
		samples = append(samples, s)
	}
	if err := c.leases.Heard(ctx, signs(samples)); err != nil {
		return err
	}
	return c.samples.Add(ctx, samples, dropped)
}

// sampleOf reads a message. Its time is that of the stream, so that a repeat has the same.
func sampleOf(msg jetstream.Msg) (store.Sample, error) {
	t := &eventsv1.Telemetry{}
	meta, err := msg.Metadata()
	if err == nil {
		err = bus.Decode(msg.Data(), t)
	}
	if err == nil {
		err = check(msg.Subject(), t)
	}
	if err != nil {
		return store.Sample{}, err
	}
	t.AtMs = meta.Timestamp.UnixMilli()
	return store.Sample{Telemetry: t, Seq: meta.Sequence.Stream}, nil
}

// check refuses impossible values, and samples in the name of another worker or build.
func check(subject string, t *eventsv1.Telemetry) error {
	worker, buildID, err := bus.ParseTelemetry(subject)
	mostCPU, mostMemory := float64(maxCPU), float64(maxMemory)
	if t.GetMemoryUnreliable() {
		mostCPU, mostMemory = maxCPUV1, maxMemoryV1
	}
	switch {
	case err != nil:
		return err
	case t.GetWorkerId() != worker || t.GetBuildId() != buildID:
		return fmt.Errorf("%w: a sample of %.80q by %.80q on %s", build.ErrInvalid, t.GetBuildId(), t.GetWorkerId(), subject)
	case len(t.GetStage()) > store.MaxStage || t.GetAttempt() < 1:
		return fmt.Errorf("%w: stage %.80q, attempt %d", build.ErrInvalid, t.GetStage(), t.GetAttempt())
	case !within(t.CpuPercent, mostCPU) || !within(t.MemoryMb, mostMemory) || !within(t.DiskPercent, 100):
		return fmt.Errorf("%w: %v %% CPU, %v MB, %v %% disk", build.ErrInvalid, t.GetCpuPercent(), t.GetMemoryMb(), t.GetDiskPercent())
	case t.GetProcesses() < 0:
		return fmt.Errorf("%w: %d processes", build.ErrInvalid, t.GetProcesses())
	}
	return nil
}

// within reports whether a value, if there is one, is a number from 0 to most.
func within(v *float64, most float64) bool {
	return v == nil || !math.IsNaN(*v) && *v >= 0 && *v <= most
}

// signs returns the newest sign of life of each attempt.
func signs(samples []store.Sample) []store.LifeSign {
	type attempt struct {
		build, worker string
		number        int32
	}
	place := map[attempt]int{}
	var all []store.LifeSign
	for _, s := range samples {
		w := store.LifeSign{
			BuildID: s.GetBuildId(), Attempt: s.GetAttempt(), WorkerID: s.GetWorkerId(), At: time.UnixMilli(s.GetAtMs()), Stage: s.GetStage(),
			TTL: min(time.Duration(max(0, s.GetTtlSeconds()))*time.Second, store.MaxTTL),
		}
		key := attempt{s.GetBuildId(), s.GetWorkerId(), s.GetAttempt()}
		if i, ok := place[key]; ok {
			all[i] = w // in the stream's order
			continue
		}
		place[key] = len(all)
		all = append(all, w)
	}
	return all
}
