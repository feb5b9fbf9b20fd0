package keeper

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
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

// Keeper collects and sends. Make it with New and run it once; Keep is safe for concurrent use.
type Keeper struct {
	nc  *nats.Conn
	log *slog.Logger
	ids chan string
}

// New gives a keeper that asks over nc.
func New(nc *nats.Conn, log *slog.Logger) *Keeper {
	return &Keeper{nc: nc, log: log, ids: make(chan string, waiting)}
}

// Keep has objects kept soon. It never waits: what finds no place is left to the artifact service's own look.
func (k *Keeper) Keep(ids ...string) {
	for _, id := range ids {
		select {
		case k.ids <- id:
		default:
			k.log.Debug("object not marked as kept yet: too many wait", "object_id", id)
		}
	}
}

// Run sends until ctx ends, and then what still waits.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			k.part(ctx)
			return nil
		case id := <-k.ids:
			pause(ctx, linger)
			k.send(context.WithoutCancel(ctx), k.gather(id))
		}
	}
}

// part says goodbye.
func (k *Keeper) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer cancel()
	for len(k.ids) > 0 && ctx.Err() == nil {
		k.send(ctx, k.gather(<-k.ids))
	}
}

func (k *Keeper) gather(first string) []string {
	ids := []string{first}
	for len(ids) < batch && len(k.ids) > 0 { // we alone take from it
		ids = append(ids, <-k.ids)
	}
	return ids
}

// send keeps all, or, if one of them is not there any more, each that is.
func (k *Keeper) send(ctx context.Context, ids []string) {
	err := k.ask(ctx, ids)
	if errors.Is(err, build.ErrObjectNotFound) && len(ids) > 1 {
		for _, id := range ids {
			if err := k.ask(ctx, []string{id}); err != nil {
				k.log.WarnContext(ctx, "object not marked as kept", "object_id", id, "err", err)
			}
		}
		return
	}
	if err != nil {
		k.log.WarnContext(ctx, "objects not marked as kept yet", "objects", len(ids), "first", ids[0], "err", err)
	}
}

func (k *Keeper) ask(ctx context.Context, ids []string) error {
	artifact := artifactv1.NewArtifactServiceClient(rpc.Client{Conn: k.nc, Timeout: rpc.DefaultTimeout})
	_, err := artifact.Keep(ctx, &artifactv1.KeepRequest{ObjectIds: ids})
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
