package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// A worker says every 5 s that it is there; three silences in a row and it counts as away.
const (
	presenceEvery = 5 * time.Second
	presenceTTL   = 15 * time.Second
)

// present keeps the worker's own key alive until ctx ends. Afterwards it expires by itself. After a gap in which it may have
// expired the worker says that it is there, for it may count as gone.
func (w *Worker) present(ctx context.Context, c *conn) {
	stored := time.Now()
	for {
		err := w.beat(ctx, bus.WorkerKey(c.id), presenceTTL, &eventsv1.Heartbeat{WorkerId: c.id})
		wait := presenceEvery
		switch {
		case err != nil:
			wait = time.Second
			w.log.DebugContext(ctx, "presence not stored", "err", err)
		case time.Since(stored) > presenceTTL-presenceEvery:
			w.askSync()
			fallthrough
		default:
			stored = time.Now()
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// beat writes a heartbeat key with a TTL in whole seconds. It is a publish: kv.Put would make the key permanent.
func (w *Worker) beat(ctx context.Context, key string, ttl time.Duration, h *eventsv1.Heartbeat) error {
	h.TtlSeconds, h.AtMs = int32(ttl/time.Second), time.Now().UnixMilli()
	data, err := proto.Marshal(h)
	if err != nil {
		return err //nolint:wrapcheck // cannot be
	}
	m := nats.NewMsg(bus.KeySubject(key))
	m.Data = data
	return w.publish(ctx, m, jetstream.WithMsgTTL(ttl))
}
