package registry

import (
	"context"
	"sync"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// The pace of idle workers: as in Nomad (max_heartbeats_per_second) they back off as the fleet grows, so that an idle farm of ten
// thousand costs as little as one of a hundred. Up to 250 of them send a heartbeat every 5 s, 10,000 every 320 s. The interval
// doubles, so that one worker more or less does not change the pace of all.
const (
	heartbeatsPerSecond  = 50
	minHeartbeatInterval = 5 * time.Second
	// maxHeartbeatInterval bounds how long a worker that died while it waited may count as online.
	maxHeartbeatInterval = 128 * minHeartbeatInterval
	// maxGrace is how late a heartbeat may be, at most twice its interval: one that was not stored is repeated each second.
	maxGrace = 30 * time.Second
	// askHeartbeats: a worker whose pull was turned away asks again after as many of its heartbeats. It is woken if it is needed sooner.
	askHeartbeats = 4
	// minSyncInterval is the least time between two syncs of a worker that waits. A sync costs a transaction and repairs what nothing
	// else does.
	minSyncInterval = 2 * time.Minute
	syncHeartbeats  = 6
)

// paceOf returns how often each of so many idle workers sends what.
func paceOf(workers int64) *schedulerv1.Pace {
	interval := minHeartbeatInterval
	for interval < maxHeartbeatInterval && float64(workers)/interval.Seconds() > heartbeatsPerSecond {
		interval *= 2
	}
	seconds := func(d time.Duration) int32 { return int32(d / time.Second) }
	return &schedulerv1.Pace{
		BeatSeconds: seconds(interval), TtlSeconds: seconds(interval + min(2*interval, maxGrace)),
		AskSeconds: seconds(askHeartbeats * interval), SyncSeconds: seconds(max(minSyncInterval, syncHeartbeats*interval)),
	}
}

// fleet counts the connected workers. The zero value has not counted; it is safe for concurrent use.
type fleet struct {
	mu      sync.Mutex
	workers int64
	counted time.Time
}

// fleetFresh is how old the figure may be: every sync reads it.
const fleetFresh = 5 * time.Second

// FleetSize returns how many workers are connected, as counted within the last seconds. If they cannot be counted, the last figure
// stands.
func (r *Registry) FleetSize(ctx context.Context) int64 {
	f := &r.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.counted) < fleetFresh {
		return f.workers
	}
	if n, err := r.machine.Store.Connected(ctx); err == nil {
		f.workers, f.counted = n, time.Now()
	}
	return f.workers
}
