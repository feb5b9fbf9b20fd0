package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	pausedetector "github.com/expo-free-agent/freeagent/shared/pause"
)

// pauseGuard keeps a worker silent after a pause (a laptop that slept, a stopped process). Its leases may belong to others by then, so it
// reports nothing about its builds until a sync has confirmed which leases it still holds.
type pauseGuard struct {
	detector    *pausedetector.Detector
	requestSync func()
	log         *slog.Logger
	// confirmed is the number of pauses that syncs have answered for, requested that for which a sync was requested.
	confirmed, requested atomic.Uint64
}

const (
	// pauseTick makes what is longer than 2 s a pause: heartbeats come four times within a timeout of 15 s or more.
	pauseTick = 500 * time.Millisecond
	// maxPauseSilence bounds the silence: a scheduler that is away as well must not cost healthy builds their heartbeats. Reports about
	// a lost lease are refused anyway.
	maxPauseSilence = 10 * time.Second
)

var errPaused = fmt.Errorf("%w: paused; waiting for the scheduler to confirm the leases", build.ErrUnavailable)

// newPauseGuard returns a guard. A nil detector means the system's clocks.
func newPauseGuard(d *pausedetector.Detector, requestSync func(), log *slog.Logger) *pauseGuard {
	if d == nil {
		d = pausedetector.New(pauseTick)
	}
	return &pauseGuard{detector: d, requestSync: requestSync, log: log}
}

// watch detects pauses until ctx ends.
func (g *pauseGuard) watch(ctx context.Context) {
	_ = g.detector.Run(ctx, func(gap time.Duration) { // it returns nil
		if g.check() != nil {
			g.log.WarnContext(ctx, "worker was paused; syncing leases", "gap", gap.Round(time.Millisecond))
		}
	})
}

// check returns errPaused between a pause and the sync after it.
func (g *pauseGuard) check() error {
	n := g.detector.Count()
	if n == g.confirmed.Load() || time.Since(g.detector.Last()) > maxPauseSilence {
		return nil
	}
	if g.requested.Swap(n) != n {
		g.requestSync()
	}
	return errPaused
}
