package scheduler

import (
	"context"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Ready says why the scheduler cannot do its work now, nil if it can. It is safe for concurrent use.
func (s *Scheduler) Ready(ctx context.Context) error {
	if _, _, err := s.store.Summary(ctx); err != nil {
		return err
	}
	for _, stream := range []string{bus.EventsStream, bus.QueueStream} {
		if _, err := s.js.Stream(ctx, stream); err != nil {
			return fmt.Errorf("open %s: %w", stream, err)
		}
	}
	return nil
}
