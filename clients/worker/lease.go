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
	// beatMax bounds the time between two heartbeats whatever the stage forgives: the page shows who is alive.
	beatMax = 15 * time.Second
	// beatMin keeps very short TTLs (tests, trials) from flooding the bus.
	beatMin = 500 * time.Millisecond
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
}

func newKeeper(w *Worker, workerID string, l lease, seconds map[string]int32, log *slog.Logger) *keeper {
	k := &keeper{
		worker: w, workerID: workerID, lease: l, log: log, ttls: map[build.Stage]time.Duration{},
		stage: string(build.StagePrepare), changed: make(chan struct{}, 1),
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
	return k.stage, build.Stage(k.stage).TTL(k.ttls)
}

// run beats until ctx ends. A beat that fails is repeated: what matters is that one arrives within the TTL.
func (k *keeper) run(ctx context.Context) {
	key := bus.LeaseKey(k.workerID, k.lease.build, k.lease.attempt)
	for {
		stage, ttl := k.now()
		wait := min(max(ttl/4, beatMin), beatMax)
		err := k.worker.beat(ctx, key, ttl, &eventsv1.Heartbeat{
			WorkerId: k.workerID, BuildId: k.lease.build, Attempt: k.lease.attempt, Stage: stage,
		})
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
