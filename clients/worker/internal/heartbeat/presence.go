package heartbeat

import (
	"context"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/pace"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// retryInterval follows a failed heartbeat.
const retryInterval = time.Second

// Presence shows that a worker is online.
type Presence struct {
	*Sender

	Pace *pace.Current
	// Missed is called after a gap in which the worker may have counted as offline.
	Missed func()
}

// Run keeps the worker's own key alive until ctx ends. Then the key expires.
func (p *Presence) Run(ctx context.Context, workerID string) {
	expires := time.Now().Add(p.Pace.Load().TTL)
	for wait := time.Duration(0); backoff.Sleep(ctx, wait) == nil; {
		now, started := p.Pace.Load(), time.Now()
		err := p.send(ctx, bus.WorkerKey(workerID), now.TTL, &eventsv1.Heartbeat{WorkerId: workerID})
		if err != nil {
			p.Log.DebugContext(ctx, "worker heartbeat not stored", "err", err)
			wait = retryInterval
			continue
		}
		if time.Now().After(expires) {
			p.Missed()
		}
		expires = started.Add(now.TTL)
		wait = pace.Jitter(now.Heartbeat)
	}
}
