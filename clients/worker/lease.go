package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// beatMost bounds the time between two heartbeats whatever the stage forgives: the page shows who is alive.
	beatMost = 15 * time.Second
	// beatLeast keeps very short TTLs (tests, trials) from flooding the bus.
	beatLeast = 500 * time.Millisecond
)

// keeper keeps an attempt's lease alive: its key is written with the TTL of the stage, four times within that TTL, and at
// once when the stage changes.
type keeper struct {
	worker   *Worker
	workerID string
	lease    lease
	ttls     map[build.Stage]time.Duration
	log      *slog.Logger

	mu      sync.Mutex
	stage   string
	changed chan struct{}
	// own is what the build's profile has instead of ttls.
	own map[build.Stage]time.Duration
}

func newKeeper(w *Worker, workerID string, l lease, seconds map[string]int32, log *slog.Logger) *keeper {
	k := &keeper{
		worker: w, workerID: workerID, lease: l, log: log, ttls: map[build.Stage]time.Duration{},
		stage: string(build.StagePrepare), changed: make(chan struct{}, 1), own: map[build.Stage]time.Duration{},
	}
	for stage, n := range seconds {
		k.ttls[build.Stage(stage)] = time.Duration(max(1, n)) * time.Second
	}
	return k
}

// enter changes the stage.
func (k *keeper) enter(stage string) {
	k.mu.Lock()
	k.stage = stage
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *keeper) now() (stage string, ttl time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if own := k.own[build.Stage(k.stage)]; own > 0 {
		return k.stage, own
	}
	return k.stage, build.Stage(k.stage).TTL(k.ttls)
}

// forgive has a stage be silent for as long as the build's profile says.
func (k *keeper) forgive(stage string, ttl time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own[build.Stage(stage)] = ttl
}

// forgiven is what the profile says of a stage, 0 if nothing.
func (k *keeper) forgiven(stage string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.own[build.Stage(stage)]
}

// run beats until ctx ends. A beat that fails is repeated: what matters is that one arrives within the TTL.
func (k *keeper) run(ctx context.Context) {
	key := bus.LeaseKey(k.workerID, k.lease.build, k.lease.attempt)
	// What the last beat that was stored said, and when.
	var told string
	var at time.Time
	for {
		stage, ttl := k.now()
		silence := time.Duration(0)
		if told == stage {
			silence = time.Since(at)
		}
		wait := min(max(ttl/4, beatLeast), beatMost)
		err := k.worker.beat(ctx, key, ttl, &eventsv1.Heartbeat{
			WorkerId: k.workerID, BuildId: k.lease.build, Attempt: k.lease.attempt, Stage: stage, SilenceMs: silence.Milliseconds(),
		})
		if err == nil {
			told, at = stage, time.Now()
		}
		if err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "heartbeat not stored", "err", err)
			wait = min(wait, time.Second)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-k.changed:
			t.Stop()
		case <-t.C:
		}
	}
}
