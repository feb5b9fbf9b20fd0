package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	pausedetector "github.com/expo-free-agent/freeagent/shared/pause"
)

// awake keeps a worker that was paused (a laptop that slept, a stopped process) from going on as if
// nothing had happened. Its leases may have been given to others, so it says nothing of its builds
// until the scheduler has told which of them are still its own.
type awake struct {
	pauses *pausedetector.Detector
	// synced is the pause that a sync has answered for; asked the one for which a sync was asked.
	synced, asked atomic.Uint64
}

const (
	// awakeTick makes what is longer than 2 s a pause: heartbeats come four times within a timeout of
	// 15 s or more.
	awakeTick = 500 * time.Millisecond
	// awakeWait bounds the silence: a scheduler that is away as well must not cost healthy builds
	// their heartbeats. Every word of a lost lease is refused anyway.
	awakeWait = 10 * time.Second
)

var errPaused = fmt.Errorf("%w: paused; waiting for the scheduler to confirm the leases", build.ErrUnavailable)

// watchPauses detects pauses until ctx ends.
func (w *Worker) watchPauses(ctx context.Context) {
	_ = w.awake.pauses.Run(ctx, func(gap time.Duration) { // it returns nil
		if w.confirmed() != nil {
			w.log.WarnContext(ctx, "worker was paused; asking the scheduler which leases it still holds", "gap", gap.Round(time.Millisecond))
		}
	})
}

// confirmed returns errPaused between a pause and the sync after it.
func (w *Worker) confirmed() error {
	n := w.awake.pauses.Count()
	if n == w.awake.synced.Load() || time.Since(w.awake.pauses.Last()) > awakeWait {
		return nil
	}
	if w.awake.asked.Swap(n) != n {
		w.askSync()
	}
	return errPaused
}
