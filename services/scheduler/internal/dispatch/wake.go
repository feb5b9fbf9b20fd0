package dispatch

import (
	"context"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// unclaimedFor is how long a hand-out may lie before the workers of its lane are woken. A worker that waits gets it in a millisecond.
	unclaimedFor = 500 * time.Millisecond
	// minWakeInterval is the least time between two wakes of a lane. All its workers may pull because of one, and spread that over the
	// time that pullsPerSecond gives them.
	minWakeInterval = time.Second
	pullsPerSecond  = 2000
)

// RunWake wakes the workers that were turned away at a lane's full queue while hand-outs lie there unclaimed: more came at once than
// pulls waited.
func (d *Dispatcher) RunWake(ctx context.Context) error {
	woken := map[store.Lane]time.Time{}
	loop := backoff.Loop{Doing: "wake workers", Every: unclaimedFor, Log: d.machine.Log}
	return loop.Run(ctx, func(ctx context.Context) error { return d.wakeWorkers(ctx, woken) })
}

// wakeWorkers wakes each lane with unclaimed hand-outs; woken says when each was woken last.
func (d *Dispatcher) wakeWorkers(ctx context.Context, woken map[store.Lane]time.Time) error {
	if d.waiting.Waiting() == 0 {
		return nil
	}
	now := d.machine.Now()
	lanes, err := d.machine.Store.Unclaimed(ctx, now.Add(-unclaimedFor))
	if err != nil || len(lanes) == 0 {
		return err
	}
	spacing := max(minWakeInterval, time.Duration(d.registry.FleetSize(ctx))*time.Second/pullsPerSecond)
	for _, lane := range lanes {
		if now.Sub(woken[lane]) < spacing {
			continue
		}
		if err := d.nc.Publish(bus.WakeSubject(lane.Pool, string(lane.Platform)), nil); err != nil {
			return err
		}
		woken[lane] = now
	}
	return nil
}
