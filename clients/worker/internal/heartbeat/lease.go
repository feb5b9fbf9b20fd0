package heartbeat

import (
	"context"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// maxInterval bounds the time between two heartbeats of a stage with a long timeout: pages show who is alive.
	maxInterval = 15 * time.Second
	// minInterval keeps very short timeouts (tests, trials) from flooding the bus.
	minInterval = 500 * time.Millisecond
)

// LeaseRenewer keeps the lease of an attempt alive. Make it with NewLeaseRenewer. It is safe for concurrent use.
type LeaseRenewer struct {
	sender   *Sender
	workerID string
	lease    farm.Lease
	// timeouts are the heartbeat timeouts per stage of the farm and the project.
	timeouts map[build.Stage]time.Duration

	mu    sync.Mutex
	stage string
	// profile has the heartbeat timeouts that the build's profile sets instead.
	profile map[build.Stage]time.Duration
	// changed wakes Run when the stage changes.
	changed chan struct{}
}

// NewLeaseRenewer returns a renewer in the stage prepare; it sends nothing until Run. seconds are heartbeat timeouts by stage.
func NewLeaseRenewer(s *Sender, workerID string, l farm.Lease, seconds map[string]int32) *LeaseRenewer {
	r := &LeaseRenewer{
		sender: s, workerID: workerID, lease: l, timeouts: map[build.Stage]time.Duration{},
		stage: string(build.StagePrepare), profile: map[build.Stage]time.Duration{}, changed: make(chan struct{}, 1),
	}
	for stage, n := range seconds {
		r.timeouts[build.Stage(stage)] = time.Duration(max(1, n)) * time.Second
	}
	return r
}

// EnterStage changes the stage and sends a heartbeat at once.
func (r *LeaseRenewer) EnterStage(stage string) {
	r.mu.Lock()
	r.stage = stage
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Stage returns the present stage and its heartbeat timeout.
func (r *LeaseRenewer) Stage() (stage string, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if timeout := r.profile[build.Stage(r.stage)]; timeout > 0 {
		return r.stage, timeout
	}
	return r.stage, build.Stage(r.stage).TTL(r.timeouts)
}

// SetTimeout sets the heartbeat timeout that the build's profile has for a stage.
func (r *LeaseRenewer) SetTimeout(stage string, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.profile[build.Stage(stage)] = timeout
}

// ProfileTimeout returns the heartbeat timeout that SetTimeout has set for a stage, 0 for none.
func (r *LeaseRenewer) ProfileTimeout(stage string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.profile[build.Stage(stage)]
}

// Run sends heartbeats until ctx ends.
func (r *LeaseRenewer) Run(ctx context.Context) {
	key := bus.LeaseKey(r.workerID, r.lease.BuildID, r.lease.Attempt)
	// The stage of the last heartbeat that was stored, and when that was.
	var lastStage string
	var lastAt time.Time
	for {
		stage, timeout := r.Stage()
		silence := time.Duration(0)
		if lastStage == stage {
			silence = time.Since(lastAt)
		}
		wait := min(max(timeout/4, minInterval), maxInterval)
		err := r.sender.send(ctx, key, timeout, &eventsv1.Heartbeat{
			WorkerId: r.workerID, BuildId: r.lease.BuildID, Attempt: r.lease.Attempt, Stage: stage, SilenceMs: silence.Milliseconds(),
		})
		if err == nil {
			lastStage, lastAt = stage, time.Now()
		}
		if err != nil && ctx.Err() == nil {
			r.sender.Log.WarnContext(ctx, "heartbeat not stored", "build_id", r.lease.BuildID, "attempt", r.lease.Attempt, "err", err)
			wait = min(wait, retryInterval)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-r.changed:
			t.Stop()
		case <-t.C:
		}
	}
}
