package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// laneFresh is how long a lane's consumer counts as made. Asking for one that exists writes its file again, one after the other for all
// who ask, which is what the workers of a large farm would wait for when they come together. What a bus forgets meanwhile is made
// by the next reconciliation.
const laneFresh = 10 * time.Second

type lane struct {
	pool     string
	platform build.Platform
}

// lanes knows when each lane's consumer was made. The zero value knows none; it is safe for concurrent use.
type lanes struct {
	mu   sync.Mutex
	made map[lane]time.Time
}

// fresh says whether a lane was made within laneFresh before now.
func (l *lanes) fresh(of lane, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, made := l.made[of]
	return made && now.Sub(at) < laneFresh
}

func (l *lanes) put(of lane, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made == nil {
		l.made = map[lane]time.Time{}
	}
	l.made[of] = now
}

// ensureLanes makes the consumers that a worker pulls at.
func (s *Scheduler) ensureLanes(ctx context.Context, w store.Worker) error {
	if w.Polls {
		return nil
	}
	for _, p := range build.Platforms() {
		of := lane{w.Pool, p}
		if !w.Can(w.Pool, p) || s.lanes.fresh(of, time.Now()) {
			continue
		}
		if err := bus.EnsureQueueConsumer(ctx, s.js, w.Pool, string(p)); err != nil {
			return fmt.Errorf("%w: %w", build.ErrUnavailable, err)
		}
		s.lanes.put(of, time.Now())
	}
	return nil
}
