package handout

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// laneFresh is how long a lane's consumer counts as made. The server writes a consumer's file again each time it is asked for, one
// request after the other, and the workers of a large farm would wait for that when they start together. The next reconciliation
// makes what a bus loses meanwhile.
const laneFresh = 10 * time.Second

// lanes knows when each lane's consumer was made. The zero value knows none; it is safe for concurrent use.
type lanes struct {
	mu   sync.Mutex
	made map[store.Lane]time.Time
}

// fresh reports whether the lane's consumer was made within laneFresh before now.
func (l *lanes) fresh(of store.Lane, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, made := l.made[of]
	return made && now.Sub(at) < laneFresh
}

func (l *lanes) put(of store.Lane, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made == nil {
		l.made = map[store.Lane]time.Time{}
	}
	maps.DeleteFunc(l.made, func(_ store.Lane, at time.Time) bool { return now.Sub(at) >= laneFresh })
	l.made[of] = now
}

// EnsureLanes makes the consumers that a worker pulls from.
func (q *Queue) EnsureLanes(ctx context.Context, w store.Worker) error {
	if w.Polls {
		return nil
	}
	for _, p := range build.Platforms() {
		of := store.Lane{Pool: w.Pool, Platform: p}
		if !w.Can(w.Pool, p) || q.lanes.fresh(of, time.Now()) {
			continue
		}
		if err := bus.EnsureQueueConsumer(ctx, q.js, w.Pool, string(p)); err != nil {
			return fmt.Errorf("%w: %w", build.ErrUnavailable, err)
		}
		q.lanes.put(of, time.Now())
	}
	return nil
}
