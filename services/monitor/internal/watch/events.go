package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// eventsParallel is how many builds' events are handled at once.
const eventsParallel = 32

// ConsumeEvents learns which attempts run, until ctx ends. The events of one build are handled in order, those of different builds at
// once. Between replicas, and when an event is delivered again, the store decides by the event's place in the stream which is newer.
func (w *Watcher) ConsumeEvents(ctx context.Context) error {
	return w.consume(ctx, bus.Consumer{
		Stream: bus.EventsStream, Durable: "monitor", Parallel: eventsParallel, Key: bus.EntityOf,
		Filters: []string{
			bus.BuildSubjects(bus.Assigned), bus.BuildSubjects(bus.Stage), bus.BuildSubjects(bus.Completed),
			bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled), bus.BuildSubjects(bus.Retried),
			bus.WorkerSubjects(bus.Online),
		},
	}, w.handleEvent)
}

func (w *Watcher) consume(ctx context.Context, c bus.Consumer, h bus.Handler) error {
	return bus.ConsumeLoop(ctx, w.log, func() error { return bus.Consume(ctx, w.js, c, h, w.log) })
}

func (w *Watcher) handleEvent(ctx context.Context, msg jetstream.Msg) error {
	_, event, err := bus.ParseEvent(msg.Subject())
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	seq := uint64(0)
	if md, err := msg.Metadata(); err == nil {
		seq = md.Sequence.Stream
	}
	switch event {
	case bus.Assigned:
		return decode(msg, func(e *eventsv1.BuildAssigned) error {
			return w.watch(ctx, store.Lease{
				Seq:     seq,
				BuildID: e.GetBuildId(), Attempt: e.GetAttempt(), WorkerID: e.GetWorkerId(), Stage: string(build.StagePrepare),
				Project: e.GetProject(), TTL: seconds(e.GetTtlSeconds()),
			})
		})
	case bus.Stage:
		return decode(msg, func(e *eventsv1.BuildStageChanged) error {
			return w.watch(ctx, store.Lease{
				Seq:     seq,
				BuildID: e.GetBuildId(), Attempt: e.GetAttempt(), WorkerID: e.GetWorkerId(), Stage: e.GetStage(),
				Project: e.GetProject(), TTL: seconds(e.GetTtlSeconds()),
			})
		})
	case bus.Completed:
		return decode(msg, func(e *eventsv1.BuildCompleted) error {
			return w.leases.Forget(ctx, e.GetBuildId(), e.GetAttempt(), now())
		})
	case bus.Failed:
		return decode(msg, func(e *eventsv1.BuildFailed) error {
			return w.leases.Forget(ctx, e.GetBuildId(), e.GetAttempt(), now())
		})
	case bus.Cancelled:
		return decode(msg, func(e *eventsv1.BuildCancelled) error {
			return w.leases.Forget(ctx, e.GetBuildId(), e.GetAttempt(), now())
		})
	case bus.Retried:
		return decode(msg, func(e *eventsv1.BuildRetried) error {
			return w.leases.Forget(ctx, e.GetBuildId(), e.GetLostAttempt(), now())
		})
	case bus.Online:
		return decode(msg, func(e *eventsv1.WorkerOnline) error {
			return w.workers.watch(ctx, e.GetWorkerId())
		})
	default:
		return fmt.Errorf("%w: event %s", bus.ErrDrop, event)
	}
}

// decode drops a message that cannot be read: a repeat would not change it.
func decode[E any, P interface {
	*E
	proto.Message
}](msg jetstream.Msg, f func(P) error) error {
	e := P(new(E))
	if err := bus.Decode(msg.Data(), e); err != nil {
		return fmt.Errorf("%w: %s: %w", bus.ErrDrop, msg.Subject(), err)
	}
	return f(e)
}

func seconds(n int32) time.Duration { return min(time.Duration(max(0, n))*time.Second, store.MaxTTL) }

// watch expects a heartbeat within the stage's TTL, so that a worker that dies before its first one is found as well. A TTL of 0 is
// the configuration's.
func (w *Watcher) watch(ctx context.Context, l store.Lease) error {
	if l.TTL == 0 {
		l.TTL = build.Stage(l.Stage).TTL(w.cfg.StageTTLs)
	}
	l.Since = now()
	l.LookAt = l.Since.Add(l.TTL + w.cfg.Grace)
	w.silences.projects.Put(l.BuildID, l.Project)
	return w.leases.Watch(ctx, l)
}

// consumeHeartbeats reads the bucket's stream: from a heartbeat the silence that it ends; an expiry marker makes its lease or worker
// due after the grace period.
func (w *Watcher) consumeHeartbeats(ctx context.Context) error {
	return w.consume(ctx, bus.Consumer{
		Stream: bus.HeartbeatStream, Durable: "monitor-markers", Filters: []string{bus.KeySubject(">")}, Parallel: 64,
	}, w.handleHeartbeat)
}

func (w *Watcher) handleHeartbeat(ctx context.Context, msg jetstream.Msg) error {
	// A key that was deleted is as absent as one that expired.
	h := msg.Headers()
	expired := h.Get(jetstream.MarkerReasonHeader) != "" || h.Get(operationHeader) != ""
	worker, buildID, attempt, err := bus.ParseKey(msg.Subject()[len(bus.KeySubject("")):])
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	switch {
	case !expired && buildID == "":
		return decode(msg, func(h *eventsv1.Heartbeat) error { return w.workers.setTTL(ctx, worker, h) })
	case !expired:
		return decode(msg, func(h *eventsv1.Heartbeat) error {
			return w.silences.observe(ctx, buildID, h.GetStage(), time.Duration(h.GetSilenceMs())*time.Millisecond)
		})
	}
	at := now().Add(w.cfg.Grace)
	if buildID == "" {
		return w.workers.store.Suspect(ctx, worker, at)
	}
	return w.leases.Suspect(ctx, buildID, attempt, at)
}

// operationHeader marks the deletion of a key.
const operationHeader = "KV-Operation"
