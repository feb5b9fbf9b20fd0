package artifact

import (
	"context"
	"errors"
	"time"

	"github.com/expo-free-agent/freeagent/shared/objects"
)

// watchTimeout is ample for the answer of a store that works.
const watchTimeout = 2 * time.Second

// watchStore asks the object store for an object that does not exist, every Config.WatchStore. A store
// that hangs, and refuses nothing, is found by that long before a transfer stalls: failed questions open
// the circuit breaker, and requests are then answered with 503 at once.
func (s *Service) watchStore(ctx context.Context) {
	if s.cfg.WatchStore <= 0 {
		return
	}
	for ctx.Err() == nil {
		if err := s.askStore(ctx); err != nil && !s.thoughtAway() {
			continue // the breaker wants several failures in a row
		}
		wait(ctx, s.cfg.WatchStore)
	}
}

// askStore returns an error if the store does not answer in time.
func (s *Service) askStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	_, err := s.objects.Stat(ctx, "none")
	if err == nil || errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	if !errors.Is(err, objects.ErrAway) && ctx.Err() == nil {
		wait(ctx, watchTimeout) // it answers, but nothing of use: do not ask at full speed
	}
	return err
}

func (s *Service) thoughtAway() bool {
	store, ok := s.objects.(interface{ Away() error })
	return ok && store.Away() != nil
}
