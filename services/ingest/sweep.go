package ingest

import (
	"context"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	v1 "github.com/expo-free-agent/freeagent/services/ingest/internal/v1"
)

// sweepLoop forgets old names, sizes of logs and sessions until ctx ends.
func (g *Ingest) sweepLoop(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := g.store.SweepReservations(ctx, time.Now().Add(-submit.KeyTTL)); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old idempotency keys not deleted, the next round tries again", "err", err)
		}
		if err := g.store.SweepHolders(ctx, time.Now().Add(-submit.KeyTTL)); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old leases of submits not deleted, the next round tries again", "err", err)
		}
		if err := g.store.SweepInFlight(ctx, time.Now().Add(-g.cfg.RepeatWindow-time.Hour)); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old submits in flight not deleted, the next round tries again", "err", err)
		}
		if err := g.store.SweepLogSizes(ctx, time.Now().Add(-v1.LogSizeTTL)); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old sizes of logs not deleted, the next round tries again", "err", err)
		}
		if err := g.store.SweepSessions(ctx, time.Now()); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old sessions not deleted, the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
