package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	v1 "github.com/expo-free-agent/freeagent/services/ingest/internal/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// sweepLoop deletes old idempotency keys, submits, sizes of logs and sessions until ctx ends.
func (g *Ingest) sweepLoop(ctx context.Context) error {
	return backoff.Loop{Doing: "sweep", Every: time.Hour, AtOnce: true, Log: g.log}.Run(ctx, func(ctx context.Context) error {
		now := time.Now()
		return errors.Join(
			g.store.SweepReservations(ctx, now.Add(-submit.KeyTTL)),
			g.store.SweepHolders(ctx, now.Add(-submit.KeyTTL)),
			g.store.SweepInFlight(ctx, now.Add(-g.cfg.SubmitRetryWindow-time.Hour)),
			g.store.SweepLogSizes(ctx, now.Add(-v1.LogSizeTTL)),
			g.store.SweepSessions(ctx, now),
		)
	})
}
