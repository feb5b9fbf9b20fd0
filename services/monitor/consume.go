package monitor

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

const (
	// eventsParallel is how many builds' events are handled at once.
	eventsParallel = 32
	// keepEnded is far longer than an event can be delivered after a later one.
	keepEnded = time.Hour
)

// eventsLoop learns which attempts run. The events of one build are handled in order, those of
// different builds at once. The order is only a help: between replicas, and when an event is delivered
// again, the store decides by the event's place in the stream which is newer.
func (m *Monitor) eventsLoop(ctx context.Context) error {
	return m.consume(ctx, bus.Consumer{
		Stream: bus.EventsStream, Durable: "monitor", Parallel: eventsParallel, Key: bus.EntityOf,
		Filters: []string{
			bus.BuildSubjects(bus.Assigned), bus.BuildSubjects(bus.Stage), bus.BuildSubjects(bus.Completed),
			bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled), bus.BuildSubjects(bus.Retried),
			bus.WorkerSubjects(bus.Online),
		},
	}, m.hear)
}

// consume waits for a stream that is not there yet: services start in any order, and the scheduler makes the streams.
func (m *Monitor) consume(ctx context.Context, c bus.Consumer, h bus.Handler) error {
	return m.retried(ctx, func() error { return bus.Consume(ctx, m.js, c, h, m.log) })
}

func (m *Monitor) retried(ctx context.Context, consume func() error) error {
	for {
		err := consume()
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // we stop
		}
		m.log.WarnContext(ctx, "nothing to hear yet, trying again soon", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(consumeRetry):
		}
	}
}

// consumeRetry is short beside any TTL.
const consumeRetry = 500 * time.Millisecond

func (m *Monitor) hear(ctx context.Context, msg jetstream.Msg) error {
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
			return m.watch(ctx, store.Lease{
				Seq:     seq,
				BuildID: e.GetBuildId(), Attempt: e.GetAttempt(), WorkerID: e.GetWorkerId(), Stage: string(build.StagePrepare),
				Project: e.GetProject(), TTL: seconds(e.GetTtlSeconds()),
			})
		})
	case bus.Stage:
		return decode(msg, func(e *eventsv1.BuildStageChanged) error {
			return m.watch(ctx, store.Lease{
				Seq:     seq,
				BuildID: e.GetBuildId(), Attempt: e.GetAttempt(), WorkerID: e.GetWorkerId(), Stage: e.GetStage(),
				Project: e.GetProject(), TTL: seconds(e.GetTtlSeconds()),
			})
		})
	case bus.Completed:
		return decode(msg, func(e *eventsv1.BuildCompleted) error {
			return m.store.Forget(ctx, e.GetBuildId(), e.GetAttempt(), m.now())
		})
	case bus.Failed:
		return decode(msg, func(e *eventsv1.BuildFailed) error {
			return m.store.Forget(ctx, e.GetBuildId(), e.GetAttempt(), m.now())
		})
	case bus.Cancelled:
		return decode(msg, func(e *eventsv1.BuildCancelled) error {
			return m.store.Forget(ctx, e.GetBuildId(), e.GetAttempt(), m.now())
		})
	case bus.Retried:
		return decode(msg, func(e *eventsv1.BuildRetried) error {
			return m.store.Forget(ctx, e.GetBuildId(), e.GetLostAttempt(), m.now())
		})
	case bus.Online:
		return decode(msg, func(e *eventsv1.WorkerOnline) error {
			return m.watchWorker(ctx, e.GetWorkerId())
		})
	default:
		return fmt.Errorf("%w: event %s", bus.ErrDrop, event)
	}
}

// decode drops what cannot be read: a repeat would not mend it.
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

func seconds(n int32) time.Duration { return min(time.Duration(max(0, n))*time.Second, maxTTL) }

// watch expects a beat within the stage's TTL: a worker that dies before its first beat is found, too. A TTL of 0 is the
// configuration's.
func (m *Monitor) watch(ctx context.Context, l store.Lease) error {
	if l.TTL == 0 {
		l.TTL = build.Stage(l.Stage).TTL(m.cfg.StageTTLs)
	}
	l.Since = m.now()
	l.LookAt = l.Since.Add(l.TTL + m.cfg.Grace)
	m.silences.belongs(l.BuildID, l.Project)
	return m.store.Watch(ctx, l)
}

// markersLoop hears the bucket's stream: of a beat it takes the silence that it ends, an expiry marker makes its key due after
// the grace period.
func (m *Monitor) markersLoop(ctx context.Context) error {
	return m.consume(ctx, bus.Consumer{
		Stream: bus.HeartbeatStream, Durable: "monitor-markers", Filters: []string{bus.KeySubject(">")}, Parallel: 64,
	}, m.hearMarker)
}

func (m *Monitor) hearMarker(ctx context.Context, msg jetstream.Msg) error {
	// A key that was deleted is as absent as one that expired.
	h := msg.Headers()
	expired := h.Get(jetstream.MarkerReasonHeader) != "" || h.Get(operationHeader) != ""
	worker, buildID, attempt, err := bus.ParseKey(msg.Subject()[len(bus.KeySubject("")):])
	if err != nil {
		return fmt.Errorf("%w: %w", bus.ErrDrop, err)
	}
	switch {
	case !expired && buildID == "":
		return decode(msg, func(h *eventsv1.Heartbeat) error { return m.hearWorker(ctx, worker, h) })
	case !expired:
		return decode(msg, func(h *eventsv1.Heartbeat) error {
			return m.observe(ctx, buildID, h.GetStage(), time.Duration(h.GetSilenceMs())*time.Millisecond)
		})
	}
	at := m.now().Add(m.cfg.Grace)
	if buildID == "" {
		return m.store.SuspectWorker(ctx, worker, at)
	}
	return m.store.Suspect(ctx, buildID, attempt, at)
}

// operationHeader marks the deletion of a key; a value has none.
const operationHeader = "KV-Operation"

// margin is how long after its expiry a key that was alive is looked at again if no marker was heard.
const margin = 2 * time.Second
