package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	// batch is what one request names, fewer than the artifact service takes; linger is how long the first one waits for others.
	batch  = 500
	linger = 20 * time.Millisecond
	// waiting bounds the objects that wait while the artifact service is away.
	waiting = 20_000
	// parting is how long a stop may take to say what still waits.
	parting = 2 * time.Second
)

// Marker collects and sends. Make it with NewMarker and run it once; MarkRetained is safe for concurrent use.
type Marker struct {
	nc  *nats.Conn
	log *slog.Logger
	ids chan string
}

// NewMarker returns a marker that sends its requests over nc.
func NewMarker(nc *nats.Conn, log *slog.Logger) *Marker {
	return &Marker{nc: nc, log: log, ids: make(chan string, waiting)}
}

// MarkRetained has objects marked as kept soon. It never waits: what finds no place is left to the artifact service's own look.
func (m *Marker) MarkRetained(ids ...string) {
	for _, id := range ids {
		select {
		case m.ids <- id:
		default:
			m.log.Debug("mark object as retained delayed: queue full", "object_id", id)
		}
	}
}

// Run sends until ctx ends, and then what still waits.
func (m *Marker) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			m.part(ctx)
			return nil
		case id := <-m.ids:
			_ = backoff.Sleep(ctx, linger) // what was marked is sent all the same
			m.send(context.WithoutCancel(ctx), m.gather(id))
		}
	}
}

// part says goodbye.
func (m *Marker) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer cancel()
	for len(m.ids) > 0 && ctx.Err() == nil {
		m.send(ctx, m.gather(<-m.ids))
	}
}

func (m *Marker) gather(first string) []string {
	ids := []string{first}
	for len(ids) < batch && len(m.ids) > 0 { // we alone take from it
		ids = append(ids, <-m.ids)
	}
	return ids
}

// send keeps all, or, if one of them is not there any more, each that is.
func (m *Marker) send(ctx context.Context, ids []string) {
	err := m.ask(ctx, ids)
	if errors.Is(err, build.ErrObjectNotFound) && len(ids) > 1 {
		for _, id := range ids {
			if err := m.ask(ctx, []string{id}); err != nil {
				m.log.WarnContext(ctx, "mark object as retained failed", "object_id", id, "err", err)
			}
		}
		return
	}
	if err != nil {
		m.log.WarnContext(ctx, "mark objects as retained failed; trying again later", "objects", len(ids), "first", ids[0], "err", err)
	}
}

func (m *Marker) ask(ctx context.Context, ids []string) error {
	artifact := artifactv1.NewArtifactServiceClient(rpc.Client{Conn: m.nc, Timeout: rpc.DefaultTimeout})
	_, err := artifact.Keep(ctx, &artifactv1.KeepRequest{ObjectIds: ids})
	return err
}
