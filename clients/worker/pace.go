package worker

import (
	"cmp"
	"math/rand/v2"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// pace is how often a worker speaks while it waits for builds. The scheduler says it with each sync: the more workers, the
// seldomer each.
type pace struct {
	// beat is the time between two beats of the worker's own key, and ttl how long the key lasts.
	beat, ttl time.Duration
	// ask is how long a worker waits where its pull was turned away.
	ask time.Duration
	// sync is the time between two comparisons with the scheduler.
	sync time.Duration
}

// paceFrom takes from the answer what it says. The rest, and all until the first sync, is as in a small farm.
func paceFrom(p *schedulerv1.Pace) *pace {
	or := func(seconds int32, d time.Duration) time.Duration {
		return cmp.Or(max(0, time.Duration(seconds)*time.Second), d)
	}
	return &pace{
		beat: or(p.GetBeatSeconds(), 5*time.Second), ttl: or(p.GetTtlSeconds(), 15*time.Second),
		ask: or(p.GetAskSeconds(), 10*time.Second), sync: or(p.GetSyncSeconds(), 2*time.Minute),
	}
}

// hurry is within which time a woken worker asks: many are woken at once, and the more they are the longer they spread.
func (p *pace) hurry() time.Duration { return p.beat / 32 }

// about is d or up to a fifth less, so that workers that came together do not speak together for ever. Never more: a beat's key
// lasts little longer than the time to the next.
func about(d time.Duration) time.Duration { return d - rand.N(d/5+1) }
