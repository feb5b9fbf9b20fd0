package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/attempt"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/pace"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// syncInterval is the time between two syncs while a build runs: an order to cancel it may have been lost. While nothing runs the
	// interval grows up to that of the pace: not at once, since the pace grows while many workers come.
	syncInterval = 30 * time.Second
	idleGrowth   = 4
	// syncRetry follows a failed sync.
	syncRetry = time.Second
)

// watch syncs with the scheduler and watches the connection. Its result is that of serve.
func (w *Worker) watch(ctx context.Context, c *farm.Conn, status <-chan nats.Status) (again bool) {
	away := time.NewTimer(maxDisconnected)
	defer away.Stop()
	if c.NATS.IsConnected() {
		away.Stop()
	}
	due := time.NewTimer(0)
	defer due.Stop()
	var last time.Time
	idle := syncInterval / idleGrowth // between two syncs while nothing runs
	for {
		select {
		case <-ctx.Done():
			return false
		case <-away.C:
			w.log.WarnContext(ctx, "bus unreachable; joining again", "for", maxDisconnected)
			return false
		case s := <-status:
			switch s {
			case nats.CONNECTED:
				return true
			case nats.CLOSED:
				return false
			default:
				away.Reset(maxDisconnected)
				continue
			}
		case <-w.syncNow:
		case <-due.C:
			if w.builds.Count() == 0 && time.Since(last) < idle {
				due.Reset(pace.Jitter(syncInterval))
				continue
			}
		}
		next, err := w.sync(ctx)
		if errors.Is(err, build.ErrWorkerUnknown) {
			w.log.WarnContext(ctx, "unknown to the scheduler; joining again")
			_ = backoff.Sleep(ctx, syncRetry) // the caller notices the end of ctx
			return false
		}
		last, idle = time.Now(), min(idleGrowth*idle, w.pace.Load().Sync)
		if err != nil {
			last = time.Time{}
		}
		due.Reset(next)
	}
}

// sync tells the scheduler which leases this worker holds and ends builds whose leases are lost. It returns when to sync next.
func (w *Worker) sync(ctx context.Context) (next time.Duration, err error) {
	fresh := true
	select {
	case <-w.synced:
		fresh = false
	default:
	}
	pauses := w.pauses.detector.Count()
	resp, err := w.farm.Scheduler().Sync(ctx, &schedulerv1.SyncRequest{
		WorkerId: w.farm.Conn().WorkerID, Holding: w.builds.Leases(), Slots: int32(w.cfg.Slots), Fresh: fresh, Draining: w.draining.Load(),
		Leaving: w.leaving.Load(), Abilities: w.abilities(),
	})
	if err != nil {
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "sync failed", "err", err)
		}
		return syncRetry, err
	}
	for _, l := range resp.GetLost() {
		w.builds.Abandon(farm.Lease{BuildID: l.GetBuildId(), Attempt: l.GetAttempt()}, attempt.ErrLeaseLost)
	}
	w.pauses.confirmed.Store(pauses)
	w.pace.Store(pace.From(resp.GetPace()))
	w.syncedOnce.Do(func() { close(w.synced) })
	return syncInterval, nil
}
