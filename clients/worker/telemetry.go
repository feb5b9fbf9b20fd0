package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// sampler measures what a build uses and publishes it. A sample that cannot be published is left out: the next one is as good.
type sampler struct {
	attempt *attempt
	source  runtime.Measurer
	dir     string

	before process.Usage
	at     time.Time
}

// sample runs until ctx ends, if the workspace can be measured.
func (a *attempt) sample(ctx context.Context, ws runtime.Workspace) {
	source, ok := ws.(runtime.Measurer)
	if !ok || a.worker.cfg.TelemetryEvery <= 0 {
		return
	}
	s := sampler{attempt: a, source: source, dir: ws.Dir(), at: time.Now()}
	for pause(ctx, a.worker.cfg.TelemetryEvery) {
		t, err := s.next()
		if err == nil {
			err = s.send(ctx, t)
		}
		if err != nil && ctx.Err() == nil {
			a.log.DebugContext(ctx, "sample left out", "err", err)
		}
	}
}

// next measures since the last call.
func (s *sampler) next() (*eventsv1.Telemetry, error) {
	now := time.Now()
	u, err := s.source.Usage()
	if err != nil {
		return nil, err
	}
	stage, ttl := s.attempt.keeper.now()
	t := &eventsv1.Telemetry{
		BuildId: s.attempt.lease.build, Attempt: s.attempt.lease.attempt, WorkerId: s.attempt.workerID, AtMs: now.UnixMilli(),
		Stage: stage, TtlSeconds: int32(ttl / time.Second), UptimeSeconds: int64(time.Since(s.attempt.began) / time.Second),
		CpuPercent: proto.Float64(cpuPercent(u.CPU-s.before.CPU, now.Sub(s.at))), MemoryMb: proto.Float64(float64(u.Memory) / 1e6),
		Processes: proto.Int64(int64(u.Processes)),
	}
	if used, err := diskUsed(s.dir); err == nil {
		t.DiskPercent = &used
	}
	s.before, s.at = u, now
	return t, nil
}

// cpuPercent of one core. When a process ends, what it had used is gone from the sum: then nothing is known, and 0 is said.
func cpuPercent(used, within time.Duration) float64 {
	if used <= 0 || within <= 0 {
		return 0
	}
	return 100 * float64(used) / float64(within)
}

func (s *sampler) send(ctx context.Context, t *eventsv1.Telemetry) error {
	data, err := proto.Marshal(t)
	if err != nil {
		return err
	}
	m := nats.NewMsg(bus.TelemetrySubject(t.GetWorkerId(), t.GetBuildId()))
	m.Data = data
	return s.attempt.worker.publish(ctx, m)
}
