package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Config of Sample.
type Config struct {
	Farm     *farm.Client
	WorkerID string
	Lease    farm.Lease
	Source   runtime.Measurer
	// Dir is on the disk that the build uses.
	Dir string
	// Began is when the attempt did.
	Began time.Time
	// Interval between samples.
	Interval time.Duration
	// Stage returns the present stage and its heartbeat timeout.
	Stage func() (string, time.Duration)
	Log   *slog.Logger
}

// sampler measures what an attempt uses.
type sampler struct {
	Config

	// last is the measurement before, made at.
	last process.Usage
	at   time.Time
}

// Sample measures and publishes until ctx ends.
func Sample(ctx context.Context, cfg Config) {
	s := sampler{Config: cfg, at: time.Now()}
	tick := time.NewTicker(cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t, err := s.measure()
		if err == nil {
			err = s.publish(ctx, t)
		}
		if err != nil && ctx.Err() == nil {
			cfg.Log.DebugContext(ctx, "telemetry sample dropped", "err", err)
		}
	}
}

// measure returns the usage since the last call.
func (s *sampler) measure() (*eventsv1.Telemetry, error) {
	now := time.Now()
	u, err := s.Source.Usage()
	if err != nil {
		return nil, err
	}
	stage, ttl := s.Stage()
	t := &eventsv1.Telemetry{
		BuildId: s.Lease.BuildID, Attempt: s.Lease.Attempt, WorkerId: s.WorkerID, AtMs: now.UnixMilli(),
		Stage: stage, TtlSeconds: int32(ttl / time.Second), UptimeSeconds: int64(time.Since(s.Began) / time.Second),
		CpuPercent: proto.Float64(cpuPercent(u.CPU-s.last.CPU, now.Sub(s.at))), MemoryMb: proto.Float64(float64(u.Memory) / 1e6),
		Processes: proto.Int64(int64(u.Processes)),
	}
	if used, err := diskUsed(s.Dir); err == nil {
		t.DiskPercent = &used
	}
	s.last, s.at = u, now
	return t, nil
}

// cpuPercent is relative to one core. When a process ends, its time is gone from the sum; then the usage is unknown, and 0.
func cpuPercent(used, within time.Duration) float64 {
	if used <= 0 || within <= 0 {
		return 0
	}
	return 100 * float64(used) / float64(within)
}

func (s *sampler) publish(ctx context.Context, t *eventsv1.Telemetry) error {
	data, err := proto.Marshal(t)
	if err != nil {
		return err
	}
	m := nats.NewMsg(bus.TelemetrySubject(t.GetWorkerId(), t.GetBuildId()))
	m.Data = data
	return s.Farm.Publish(ctx, m)
}
