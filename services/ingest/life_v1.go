package ingest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	// pollerTTL is the silence forgiven to a worker that polls: every 30 s, when it does not build.
	pollerTTL = 2 * time.Minute
	// beatShare of a TTL is how old a heartbeat may get before it is written anew.
	beatShare = 8
	// maxBeats bounds the memory of beats; without it each call would be one.
	maxBeats = 20_000
)

// beats remembers which keys were written a moment ago, so that a chatty build costs no write for each of its lines, and how
// long their owners were silent since. Of a build whose calls come to several gateways each sees some, and takes the silences
// for longer than they are.
type beats struct {
	mu   sync.Mutex
	last map[string]pulse
}

// pulse is when a key was written, when its owner was last heard, and the longest it was not heard since the key was written.
type pulse struct {
	written, heard time.Time
	silence        time.Duration
}

// due says whether a key is to be written, and notes that it is. silence is the longest since it was written before, 0 on the
// first.
func (b *beats) due(key string, ttl time.Duration) (silence time.Duration, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p, known := b.last[key]
	if known {
		p.silence = max(p.silence, now.Sub(p.heard))
	}
	p.heard = now
	if due = now.Sub(p.written) >= ttl/beatShare; due {
		silence, p.silence, p.written = p.silence, 0, now
	}
	if b.last == nil || !known && len(b.last) >= maxBeats {
		b.last = map[string]pulse{}
	}
	b.last[key] = p
	return silence, due
}

// forget has the key written again with the next sign of life.
func (b *beats) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.last, key)
}

// alive writes the heartbeats that a worker of API v1 cannot: its own, and the one of the attempt that it holds.
func (g *Ingest) alive(ctx context.Context, b *schedulerv1.Build) {
	g.workerAlive(ctx, b.GetWorkerId())
	stage := b.GetStage()
	if stage == "" {
		stage = string(build.StagePrepare)
	}
	ttl := build.Stage(stage).TTL(g.cfg.StageTTLs)
	if own := time.Duration(b.GetStageTtlSeconds()) * time.Second; own > 0 { // its project's
		ttl = own
	}
	g.beat(ctx, bus.LeaseKey(b.GetWorkerId(), b.GetId(), b.GetAttempt()), ttl, &eventsv1.Heartbeat{
		WorkerId: b.GetWorkerId(), BuildId: b.GetId(), Attempt: b.GetAttempt(), Stage: stage,
	})
}

func (g *Ingest) workerAlive(ctx context.Context, worker string) {
	g.beat(ctx, bus.WorkerKey(worker), pollerTTL, &eventsv1.Heartbeat{WorkerId: worker})
}

// beat writes a heartbeat key with a TTL in whole seconds. It is a publish: kv.Put would make the key permanent. A beat that
// is lost is said again with the next sign of life.
func (g *Ingest) beat(ctx context.Context, key string, ttl time.Duration, h *eventsv1.Heartbeat) {
	noted := key + " " + h.GetStage()
	silence, due := g.beats.due(noted, ttl)
	if !due {
		return
	}
	h.TtlSeconds, h.AtMs, h.SilenceMs = int32(ttl/time.Second), time.Now().UnixMilli(), silence.Milliseconds()
	data, err := proto.Marshal(h)
	if err == nil {
		m := nats.NewMsg(bus.KeySubject(key))
		m.Data = data
		err = g.publish(ctx, m, jetstream.WithMsgTTL(ttl))
	}
	if err != nil {
		g.beats.forget(noted)
		g.log.WarnContext(ctx, "sign of life not passed on", "key", key, "err", err)
	}
}

func (g *Ingest) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := g.js.PublishMsg(ctx, m, opts...)
	return err //nolint:wrapcheck // the caller says what
}

// schedulerFor asks in the name of a worker that has no connection of its own.
func (g *Ingest) schedulerFor(worker string) schedulerv1.SchedulerWorkerServiceClient {
	return schedulerv1.NewSchedulerWorkerServiceClient(rpc.Client{Conn: g.nc, Timeout: askTimeout, WorkerID: worker})
}

// markers are the lines by which the scripts of API v1 announce a stage.
func markers() map[string]build.Stage {
	return map[string]build.Stage{
		"Installing dependencies": build.StageInstall, "Running Expo prebuild": build.StagePrebuild,
		"Installing CocoaPods": build.StagePods, "Archiving": build.StageArchive, "Exporting IPA": build.StageExport,
	}
}

// stageOf gives the stage that the last telling one of the lines announces, "" if none does.
func stageOf(lines []*eventsv1.LogLine) (stage build.Stage) {
	for _, l := range lines {
		for marker, s := range markers() {
			if strings.Contains(l.GetText(), marker) {
				stage = s
			}
		}
	}
	return stage
}

// enter tells the scheduler of a stage, if it is news. The first sign of life of an assigned build begins it.
func (g *Ingest) enter(ctx context.Context, b *schedulerv1.Build, stage build.Stage) error {
	began := build.State(b.GetState()) != build.Assigned
	if stage == "" && !began {
		stage = build.StagePrepare
	}
	if stage == "" || began && string(stage) == b.GetStage() {
		return nil
	}
	_, err := g.schedulerFor(b.GetWorkerId()).Stage(ctx, &schedulerv1.StageRequest{
		WorkerId: b.GetWorkerId(), BuildId: b.GetId(), Attempt: b.GetAttempt(), Stage: string(stage),
	})
	if err != nil {
		return err
	}
	b.State, b.Stage = string(build.Building), string(stage)
	g.alive(ctx, b) // with the TTL of the new stage
	return nil
}
