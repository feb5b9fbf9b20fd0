package scheduler

import (
	"context"
	"sync"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// What waiting workers may say together, so that an idle farm of ten thousand costs as little as one of a hundred. As in Nomad
// (max_heartbeats_per_second) each speaks the seldomer the more they are: up to 250 of them every 5 s, 10,000 every 320 s. The step
// is doubled, so that a worker that comes or goes does not change the pace of all.
const (
	beatsPerSecond = 50
	beatEvery      = 5 * time.Second
	// beatMost bounds how long a worker that died while it waited may count as there.
	beatMost = 128 * beatEvery
	// forgiven is what a beat may be late, twice itself at most: a beat that was not stored is repeated each second.
	forgiven = 30 * time.Second
	// askBeats: a worker whose pull was turned away asks again after as many of its beats. It is woken if it is needed sooner.
	askBeats = 4
	// syncLeast is the least time between two syncs of a worker that waits: they heal what nobody thought of, and cost a transaction.
	syncLeast = 2 * time.Minute
	syncBeats = 6
)

// paceOf says how often each of so many waiting workers speaks.
func paceOf(workers int64) *schedulerv1.Pace {
	beat := beatEvery
	for beat < beatMost && float64(workers)/beat.Seconds() > beatsPerSecond {
		beat *= 2
	}
	seconds := func(d time.Duration) int32 { return int32(d / time.Second) }
	return &schedulerv1.Pace{
		BeatSeconds: seconds(beat), TtlSeconds: seconds(beat + min(2*beat, forgiven)),
		AskSeconds: seconds(askBeats * beat), SyncSeconds: seconds(max(syncLeast, syncBeats*beat)),
	}
}

// fleet knows how many workers are connected. The zero value knows of none; it is safe for concurrent use.
type fleet struct {
	mu      sync.Mutex
	workers int64
	counted time.Time
}

// fleetFresh is how old the figure may be: it is asked for at every sync.
const fleetFresh = 5 * time.Second

// size counts anew if need be; who asks meanwhile waits for it. If it cannot be counted, the last figure stands.
func (f *fleet) size(ctx context.Context, count func(context.Context) (int64, error)) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.counted) < fleetFresh {
		return f.workers
	}
	if n, err := count(ctx); err == nil {
		f.workers, f.counted = n, time.Now()
	}
	return f.workers
}
