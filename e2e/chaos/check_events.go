package chaos

import (
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// finals are the names of the events that ended the build: there has to be one.
func (b Build) finals() (names []string) {
	for _, e := range b.Events {
		if e.final() {
			names = append(names, e.Name)
		}
	}
	return names
}

// held is the time in which an attempt held the build, as the event log has it.
type held struct {
	from, to time.Time
	ended    string
}

// checkLeases wants from the event log what checkAttempts wants from the database: an attempt is given once and ends once, holds
// the build alone, and the last one given is the one that ends it. It goes by the times in the events and not by their order in
// the log: the stream may take a batch that was sent again late.
func (b Build) checkLeases(say func(promise, format string, args ...any)) {
	leases := map[int]*held{}
	for _, e := range b.Events {
		switch h := leases[e.Attempt]; {
		case e.Name == string(bus.Assigned) && h != nil && !h.from.IsZero():
			say(promiseLease, "the event log gives attempt %d to a worker twice", e.Attempt)
		case e.Name == string(bus.Assigned):
			leases[e.Attempt] = &held{from: e.At}
		}
	}
	last := 0
	for n := range leases {
		last = max(last, n)
	}
	for _, e := range b.Events {
		if !e.ends() {
			continue
		}
		h := leases[e.Attempt]
		if h == nil && (e.Name == string(bus.Completed) || e.Name == string(bus.Retried)) {
			say(promiseFence, "the event log has attempt %d %s, which no worker was given", e.Attempt, e.Name)
		}
		if h == nil {
			continue // cancelled or failed while it waited
		}
		if h.ended != "" {
			say(promiseFence, "the event log has attempt %d both %s and %s", e.Attempt, h.ended, e.Name)
		}
		if h.to, h.ended = e.At, e.Name; e.final() && e.Attempt < last {
			say(promiseFence, "the event log has attempt %d %s, and attempt %d was given after it", e.Attempt, e.Name, last)
		}
	}
	checkOverlap(leases, b.Final(), say)
}

func checkOverlap(leases map[int]*held, final bool, say func(promise, format string, args ...any)) {
	numbers := make([]int, 0, len(leases))
	for n := range leases {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var before *held
	for _, n := range numbers {
		h := leases[n]
		if h.ended == "" && final {
			say(promiseLease, "the event log never ends attempt %d", n)
		}
		if before != nil && h.from.Before(before.to) {
			say(promiseLease, "the event log gives attempt %d at %s, before the one before it ends at %s",
				n, h.from.Format(time.RFC3339Nano), before.to.Format(time.RFC3339Nano))
		}
		before = h
	}
}

// recovery is the longest time from a lost attempt to the next that a worker took.
func (b Build) recovery() (longest time.Duration) {
	lost := map[int]time.Time{}
	for _, e := range b.Events {
		if e.Name == string(bus.Retried) {
			lost[e.Attempt] = e.At
		}
	}
	for _, e := range b.Events {
		if at, ok := lost[e.Attempt-1]; ok && e.Name == string(bus.Assigned) {
			longest = max(longest, e.At.Sub(at))
		}
	}
	return longest
}
