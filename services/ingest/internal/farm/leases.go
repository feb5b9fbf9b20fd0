package farm

import (
	"context"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const (
	// leaseAge is how long a lease is cached.
	leaseAge = time.Second
	// maxRemembered bounds the leases and heartbeats that are remembered.
	maxRemembered = 20_000
	// pollerTTL is the heartbeat timeout of a worker that polls: every 30 s, when it does not
	// build.
	pollerTTL = 2 * time.Minute
	// A heartbeat is renewed after a renewFraction-th of its TTL.
	renewFraction = 8
)

// lease is a running build and when the scheduler was asked for it. A late sample of a lost lease
// is harmless, since it names its attempt.
type lease struct {
	build *schedulerv1.Build
	asked time.Time
}

// HeldBy returns the build if the worker holds its current attempt, and counts the request as a
// heartbeat. Otherwise it is httpapi.ErrForbidden with the sentence refusal.
func (f *Farm) HeldBy(ctx context.Context, id, worker, refusal string) (*schedulerv1.Build, error) {
	b, err := f.Build(ctx, id)
	if err != nil {
		return nil, err
	}
	if b.GetWorkerId() != worker || !build.State(b.GetState()).Leased() {
		return nil, httpx.Refuse(httpapi.ErrForbidden, "%s", refusal)
	}
	f.RenewLease(ctx, b)
	return b, nil
}

// RecentlyHeldBy is HeldBy with a cached answer that may be a second old, for telemetry samples,
// which are frequent. The caller owns the returned build.
func (f *Farm) RecentlyHeldBy(ctx context.Context, id, worker, refusal string) (*schedulerv1.Build, error) {
	if l, ok := f.leases.Get(id); ok && l.build.GetWorkerId() == worker && time.Since(l.asked) <= leaseAge {
		b := proto.CloneOf(l.build)
		f.RenewLease(ctx, b)
		return b, nil
	}
	asked := time.Now()
	b, err := f.HeldBy(ctx, id, worker, refusal)
	if err == nil && build.State(b.GetState()) == build.Building { // only running builds are cached: the begin of a build must be reported
		f.leases.Add(id, lease{proto.CloneOf(b), asked})
	}
	return b, err
}

// ForgetLease has the next RecentlyHeldBy ask the scheduler.
func (f *Farm) ForgetLease(id string) { f.leases.Remove(id) }

// RenewLease writes the heartbeats of a worker of API v1 and of the attempt that it holds.
func (f *Farm) RenewLease(ctx context.Context, b *schedulerv1.Build) {
	f.WorkerAlive(ctx, b.GetWorkerId())
	stage := b.GetStage()
	if stage == "" {
		stage = string(build.StagePrepare)
	}
	ttl := build.Stage(stage).TTL(f.cfg.StageTTLs)
	if own := time.Duration(b.GetStageTtlSeconds()) * time.Second; own > 0 { // its project's
		ttl = own
	}
	f.beat(ctx, bus.LeaseKey(b.GetWorkerId(), b.GetId(), b.GetAttempt()), ttl, &eventsv1.Heartbeat{
		WorkerId: b.GetWorkerId(), BuildId: b.GetId(), Attempt: b.GetAttempt(), Stage: stage,
	})
}

// WorkerAlive writes the heartbeat of a worker of API v1.
func (f *Farm) WorkerAlive(ctx context.Context, worker string) {
	f.beat(ctx, bus.WorkerKey(worker), pollerTTL, &eventsv1.Heartbeat{WorkerId: worker})
}

// beat writes a heartbeat key with a TTL in whole seconds. It publishes to the stream, since kv.Put
// would make the key permanent. A lost heartbeat is written again with the next request.
func (f *Farm) beat(ctx context.Context, key string, ttl time.Duration, h *eventsv1.Heartbeat) {
	noted := key + " " + h.GetStage()
	silence, due := f.beats.due(noted, ttl)
	if !due {
		return
	}
	h.TtlSeconds, h.AtMs, h.SilenceMs = int32(ttl/time.Second), time.Now().UnixMilli(), silence.Milliseconds()
	data, err := proto.Marshal(h)
	if err == nil {
		m := nats.NewMsg(bus.KeySubject(key))
		m.Data = data
		err = f.Publish(ctx, m, jetstream.WithMsgTTL(ttl))
	}
	if err != nil {
		f.beats.forget(noted)
		f.cfg.Log.WarnContext(ctx, "write heartbeat failed", "key", key, "err", err)
	}
}

// heartbeatThrottle records when keys were last written, so that not every request costs a write,
// and the longest silence of their owners since. If a build's requests reach several gateways, each
// sees some of them and overestimates the silence.
type heartbeatThrottle struct {
	mu   sync.Mutex
	last *lru.Cache[string, lastBeat]
}

// lastBeat is when a key was written, when its owner was last heard, and its longest silence since
// the key was written.
type lastBeat struct {
	written, heard time.Time
	silence        time.Duration
}

func newHeartbeatThrottle() (*heartbeatThrottle, error) {
	last, err := lru.New[string, lastBeat](maxRemembered)
	return &heartbeatThrottle{last: last}, err
}

// due reports whether a key must be written, and records that it is. silence is the longest since
// the last write, 0 at first.
func (b *heartbeatThrottle) due(key string, ttl time.Duration) (silence time.Duration, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p, known := b.last.Get(key)
	if known {
		p.silence = max(p.silence, now.Sub(p.heard))
	}
	p.heard = now
	if due = now.Sub(p.written) >= ttl/renewFraction; due {
		silence, p.silence, p.written = p.silence, 0, now
	}
	b.last.Add(key, p)
	return silence, due
}

// forget makes the key due at the next request.
func (b *heartbeatThrottle) forget(key string) { b.last.Remove(key) }

// markers are the lines by which the scripts of API v1 announce a stage.
func markers() map[string]build.Stage {
	return map[string]build.Stage{
		"Installing dependencies": build.StageInstall, "Running Expo prebuild": build.StagePrebuild,
		"Installing CocoaPods": build.StagePods, "Archiving": build.StageArchive, "Exporting IPA": build.StageExport,
	}
}

// StageOf returns the stage that the last of the lines with a marker announces; it is empty if none
// does.
func StageOf(lines []*eventsv1.LogLine) (stage build.Stage) {
	for _, l := range lines {
		for marker, s := range markers() {
			if strings.Contains(l.GetText(), marker) {
				stage = s
			}
		}
	}
	return stage
}

// ReportStage reports the stage to the scheduler if it is new. The first request about an assigned
// build begins it.
func (f *Farm) ReportStage(ctx context.Context, b *schedulerv1.Build, stage build.Stage) error {
	began := build.State(b.GetState()) != build.Assigned
	if stage == "" && !began {
		stage = build.StagePrepare
	}
	if stage == "" || began && string(stage) == b.GetStage() {
		return nil
	}
	_, err := f.SchedulerFor(b.GetWorkerId()).Stage(ctx, &schedulerv1.StageRequest{
		WorkerId: b.GetWorkerId(), BuildId: b.GetId(), Attempt: b.GetAttempt(), Stage: string(stage),
	})
	if err != nil {
		return err
	}
	b.State, b.Stage = string(build.Building), string(stage)
	f.RenewLease(ctx, b) // with the TTL of the new stage
	return nil
}
