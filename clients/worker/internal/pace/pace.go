package pace

import (
	"cmp"
	"math/rand/v2"
	"sync/atomic"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// Pace holds the intervals of a waiting worker.
type Pace struct {
	// Heartbeat is the interval of the worker's own heartbeats, TTL the lifetime of their key.
	Heartbeat, TTL time.Duration
	// PullRetry is the wait after the queue has turned a pull away.
	PullRetry time.Duration
	// Sync is the longest interval of syncs while nothing runs.
	Sync time.Duration
}

// From returns the pace in an answer to a sync. Intervals that the answer leaves out, and all of nil, are those of a small farm.
func From(p *schedulerv1.Pace) Pace {
	or := func(seconds int32, d time.Duration) time.Duration {
		return cmp.Or(max(0, time.Duration(seconds)*time.Second), d)
	}
	return Pace{
		Heartbeat: or(p.GetBeatSeconds(), 5*time.Second), TTL: or(p.GetTtlSeconds(), 15*time.Second),
		PullRetry: or(p.GetAskSeconds(), 10*time.Second), Sync: or(p.GetSyncSeconds(), 2*time.Minute),
	}
}

// WakeSpread is the time over which workers that are woken together spread their pulls. It grows with the fleet.
func (p Pace) WakeSpread() time.Duration { return p.Heartbeat / 32 }

// Jitter returns d or up to a fifth less, so that workers that started together do not stay in step. It never returns more: a
// heartbeat's key lasts little longer than the time to the next.
func Jitter(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

// Current is the pace in use. The zero value is that of a small farm. It is safe for concurrent use.
type Current struct{ p atomic.Pointer[Pace] }

// Load returns the pace in use.
func (c *Current) Load() Pace {
	if p := c.p.Load(); p != nil {
		return *p
	}
	return From(nil)
}

// Store replaces the pace.
func (c *Current) Store(p Pace) { c.p.Store(&p) }
