package heartbeat

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// answerTimeout is ample for the answer to a heartbeat.
	answerTimeout = 5 * time.Second
	// pingTimeout is ample for a server's answer to a ping.
	pingTimeout = 2 * time.Second
)

// Sender writes heartbeats. It is safe for concurrent use.
type Sender struct {
	Farm *farm.Client
	Log  *slog.Logger
}

// send writes a key with a TTL in whole seconds. It publishes to the key's subject, since kv.Put would make the key permanent.
func (s *Sender) send(ctx context.Context, key string, ttl time.Duration, h *eventsv1.Heartbeat) error {
	h.TtlSeconds, h.AtMs = int32(ttl/time.Second), time.Now().UnixMilli()
	data, err := proto.Marshal(h)
	if err != nil {
		return err
	}
	m := nats.NewMsg(bus.KeySubject(key))
	m.Data = data
	// A heartbeat without an answer must leave time for a connection to another server, and a heartbeat over that, within the TTL.
	sending, cancel := context.WithTimeout(ctx, max(min(ttl/4, answerTimeout), time.Second))
	defer cancel()
	err = s.Farm.Publish(sending, m, jetstream.WithMsgTTL(ttl))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		s.checkServer(ctx)
	}
	return err
}

// checkServer pings the server and reconnects if it does not answer.
func (s *Sender) checkServer(ctx context.Context) {
	nc := s.Farm.Conn().NATS
	if !nc.IsConnected() {
		return
	}
	pinging, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := nc.FlushWithContext(pinging); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return // it answers, or is being replaced
	}
	s.Log.WarnContext(ctx, "bus does not answer; reconnecting")
	if err := nc.ForceReconnect(); err != nil {
		s.Log.DebugContext(ctx, "reconnect failed", "err", err)
	}
}
