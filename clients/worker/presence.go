package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// present keeps the worker's own key alive until ctx ends. Afterwards it expires. After a gap in which it may have
// expired the worker says that it is there, for it may count as gone.
func (w *Worker) present(ctx context.Context, c *conn) {
	lasts := time.Now().Add(w.pace.Load().ttl)
	for {
		p := w.pace.Load()
		began := time.Now()
		err := w.beat(ctx, bus.WorkerKey(c.id), p.ttl, &eventsv1.Heartbeat{WorkerId: c.id})
		wait := about(p.beat)
		switch {
		case err != nil:
			wait = time.Second
			w.log.DebugContext(ctx, "presence not stored", "err", err)
		case time.Now().After(lasts):
			w.askSync()
			fallthrough
		default:
			lasts = began.Add(p.ttl)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// beat writes a heartbeat key with a TTL in whole seconds. It is a publish: kv.Put would make the key permanent. A beat that
// nobody answers is how we learn that the server has gone without a word.
func (w *Worker) beat(ctx context.Context, key string, ttl time.Duration, h *eventsv1.Heartbeat) error {
	h.TtlSeconds, h.AtMs = int32(ttl/time.Second), time.Now().UnixMilli()
	data, err := proto.Marshal(h)
	if err != nil {
		return err
	}
	m := nats.NewMsg(bus.KeySubject(key))
	m.Data = data
	// An unanswered beat must leave time for a connection to another server, and a beat over that, within the TTL.
	patient, cancel := context.WithTimeout(ctx, max(min(ttl/4, beatAnswer), time.Second))
	defer cancel()
	err = w.publish(patient, m, jetstream.WithMsgTTL(ttl))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		w.doubt(ctx)
	}
	return err
}

// beatAnswer is ample for the answer to a beat.
const beatAnswer = 5 * time.Second

// doubtWait is ample for a server's answer to a ping.
const doubtWait = 2 * time.Second

// doubt asks whether a server is at the other end at all, and connects anew if not. The connection's own pings would tell, too,
// minutes later: for thousands of workers they are most of what an idle bus does, so they are rare.
func (w *Worker) doubt(ctx context.Context) {
	nc := w.link.get().nc
	if !nc.IsConnected() {
		return
	}
	patient, cancel := context.WithTimeout(ctx, doubtWait)
	defer cancel()
	if err := nc.FlushWithContext(patient); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return // it answers, or is being replaced
	}
	w.log.WarnContext(ctx, "the bus does not answer; connecting anew")
	if err := nc.ForceReconnect(); err != nil {
		w.log.DebugContext(ctx, "cannot connect anew", "err", err)
	}
}
