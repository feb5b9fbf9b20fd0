package scheduler

import (
	"context"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// untaken is how long a hand-out may lie before the workers of its lane are woken. A pull that waits gets it in a millisecond.
	untaken = 500 * time.Millisecond
	// wakeLeast is the least time between two wakes of a lane, and asksPerSecond what all its workers may ask because of one:
	// they spread what they ask over a while, see the worker.
	wakeLeast     = time.Second
	asksPerSecond = 2000
)

// wakeLoop tells the workers that were turned away at a lane's full queue if hand-outs lie there which nobody has taken: more came
// at once than pulls waited.
func (s *Scheduler) wakeLoop(ctx context.Context) error {
	tick := time.NewTicker(untaken)
	defer tick.Stop()
	woken := map[store.Lane]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.wakeWorkers(ctx, woken); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "workers not woken, the next round tries again", "err", err)
		}
	}
}

// wakeWorkers keeps in woken when each lane was.
func (s *Scheduler) wakeWorkers(ctx context.Context, woken map[store.Lane]time.Time) error {
	if s.waiting.Load() == 0 {
		return nil
	}
	now := s.now()
	lanes, err := s.store.Untaken(ctx, now.Add(-untaken))
	if err != nil || len(lanes) == 0 {
		return err
	}
	spacing := max(wakeLeast, time.Duration(s.fleet.size(ctx, s.store.Connected))*time.Second/asksPerSecond)
	for _, lane := range lanes {
		if now.Sub(woken[lane]) < spacing {
			continue
		}
		if err := s.nc.Publish(bus.WakeSubject(lane.Pool, string(lane.Platform)), nil); err != nil {
			return err
		}
		woken[lane] = now
	}
	return nil
}
