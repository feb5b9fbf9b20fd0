package order

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// World is what a choice is made from: a snapshot, which may lag. Lagging is safe, because dispatching is conditional on the
// build's state, and a build offered too many only waits in the queue.
type World struct {
	Now   time.Time
	Rules Rules
	// Pending are the waiting builds that may run now: for each lane and project at least as many of each priority as may be chosen.
	Pending map[store.Lane][]store.Build
	Tags    map[store.Lane]Tags
	// Live counts offered and running builds by lane and project, Queued the offered ones by lane.
	Live   map[store.Lane]map[string]int
	Queued map[store.Lane]int
	// Overrun is how much longer than expected the running builds of a project have taken so far.
	Overrun map[store.Lane]map[string]time.Duration
	// Workers are online and take builds.
	Workers []store.Group
	// Cost is the expected duration of a build.
	Cost func(store.Build) time.Duration
}

// Room is how many more builds of a lane may be offered: its free slots and a window of one more than a quarter of all slots, so
// that a worker that becomes free finds work at once, less what is on offer.
func (w World) Room(l store.Lane) int {
	free, all := 0, 0
	for _, g := range w.Workers {
		if g.Can(l) {
			all += g.Slots
			free += g.Free
		}
	}
	if all == 0 {
		return 0
	}
	return free + 1 + all/4 - w.Queued[l]
}

// Choose returns the builds to offer next with their tags, in the order in which they go out.
func Choose(w World) []store.Build {
	used := w.usage()
	var chosen []store.Build
	for _, l := range sortedLanes(w.Pending) {
		room := w.Room(l)
		if room <= 0 {
			continue
		}
		q := w.queue(l, used)
		for ; room > 0; room-- {
			b, ok := q.next()
			if !ok {
				break
			}
			chosen = append(chosen, b)
		}
	}
	return chosen
}

// Candidates returns up to n builds of the lanes that can accepts, for workers that poll, in dispatch order.
func Candidates(w World, can func(store.Lane) bool, n int) []store.Build {
	used := w.usage()
	var queues []*queue
	for _, l := range sortedLanes(w.Pending) {
		if can(l) {
			queues = append(queues, w.queue(l, used))
		}
	}
	var chosen []store.Build
	for len(chosen) < n {
		q := earliest(queues)
		if q == nil {
			break
		}
		b, ok := q.next()
		if !ok {
			break
		}
		chosen = append(chosen, b)
	}
	return chosen
}

// earliest returns the queue whose best build goes first: by effective priority, then by age. Tags of different lanes cannot be
// compared.
func earliest(queues []*queue) *queue {
	var first *queue
	var at key
	for _, q := range queues {
		f := q.best()
		if f == nil {
			continue
		}
		if k := (key{effective: f.key.effective, seq: f.key.seq}); first == nil || k.compare(at) < 0 {
			first, at = q, k
		}
	}
	return first
}

func (w World) usage() *usage {
	used := newUsage()
	for l, projects := range w.Live {
		for project, n := range projects {
			used.add(l.Pool, project, n)
		}
	}
	return used
}

func sortedLanes[V any](m map[store.Lane]V) []store.Lane {
	return slices.SortedFunc(maps.Keys(m), func(a, b store.Lane) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Platform, b.Platform))
	})
}
