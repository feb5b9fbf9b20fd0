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
	// batch bounds the objects of a request, below what the artifact service accepts; the first one waits batchDelay for others.
	batch      = 500
	batchDelay = 20 * time.Millisecond
	// waiting bounds the queue while the artifact service is unavailable.
	waiting = 20_000
	// flushTimeout bounds the flush of the queue at a stop.
	flushTimeout = 2 * time.Second
	// maxRetry bounds the wait before another try while the artifact service is unavailable.
	maxRetry = 10 * time.Second
)

// Marker collects objects and sends them in batches. Make it with NewMarker and run it once; MarkRetained is safe for concurrent use.
type Marker struct {
	nc  *nats.Conn
	log *slog.Logger
	ids chan string
}

// NewMarker returns a marker that sends its requests over nc.
func NewMarker(nc *nats.Conn, log *slog.Logger) *Marker {
	return &Marker{nc: nc, log: log, ids: make(chan string, waiting)}
}

// MarkRetained queues objects to be marked as retained. It never waits; what does not fit into the queue is left to the artifact
// service, which asks the scheduler before it deletes.
func (m *Marker) MarkRetained(ids ...string) {
	for _, id := range ids {
		select {
		case m.ids <- id:
		default:
			m.log.Debug("mark object as retained delayed: queue full", "object_id", id)
		}
	}
}

// Run sends until ctx ends, and flushes the queue then.
func (m *Marker) Run(ctx context.Context) error {
	retries := backoff.Retries{First: 100 * time.Millisecond, Most: maxRetry}
	for {
		select {
		case <-ctx.Done():
			m.flush(ctx)
			return nil
		case id := <-m.ids:
			_ = backoff.Sleep(ctx, batchDelay) // sent even if ctx has ended
			ids := m.gather(id)
			if !m.send(context.WithoutCancel(ctx), ids) {
				m.MarkRetained(ids...)
				_ = retries.Sleep(ctx) // flushed if ctx has ended
				continue
			}
			retries.Reset()
		}
	}
}

// flush sends what is left in the queue.
func (m *Marker) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	for len(m.ids) > 0 && ctx.Err() == nil {
		m.send(ctx, m.gather(<-m.ids))
	}
}

func (m *Marker) gather(first string) []string {
	ids := []string{first}
	for len(ids) < batch && len(m.ids) > 0 { // this is the only reader
		ids = append(ids, <-m.ids)
	}
	return ids
}

// send marks all objects; if one does not exist any more, it marks the others one by one. It returns false if the artifact service is
// unavailable.
func (m *Marker) send(ctx context.Context, ids []string) bool {
	err := m.ask(ctx, ids)
	if errors.Is(err, build.ErrObjectNotFound) && len(ids) > 1 {
		for _, id := range ids {
			if err := m.ask(ctx, []string{id}); err != nil {
				m.log.WarnContext(ctx, "mark object as retained failed", "object_id", id, "err", err)
			}
		}
		return true
	}
	if err != nil {
		m.log.WarnContext(ctx, "mark objects as retained failed", "objects", len(ids), "first", ids[0], "err", err)
	}
	return !errors.Is(err, build.ErrUnavailable)
}

func (m *Marker) ask(ctx context.Context, ids []string) error {
	artifact := artifactv1.NewArtifactServiceClient(rpc.Client{Conn: m.nc, Timeout: rpc.DefaultTimeout})
	_, err := artifact.Keep(ctx, &artifactv1.KeepRequest{ObjectIds: ids})
	return err
}
