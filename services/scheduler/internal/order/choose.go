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
	// Lanes of what follows are those without requirements: a pool and platform.
	Tags map[store.Lane]Tags
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

// Room is how many more builds of a pool and platform may be put on offer on its queue: its free slots and a window of one more than a
// quarter of all slots, so that a worker that becomes free finds work at once, less what is on offer.
func (w World) Room(l store.Lane) int {
	free, all := 0, 0
	for _, g := range w.Workers {
		if g.Can(l.Queue()) {
			all += g.Slots
			free += g.Free
		}
	}
	if all == 0 {
		return 0
	}
	return free + 1 + all/4 - w.Queued[l.Queue()]
}

// Reach is how many builds of a lane with requirements may be offered to single workers: the free slots of those that meet them, and a
// window as that of Room, whose builds get the next slots of workers that are busy.
func (w World) Reach(l store.Lane) (n int) {
	for _, g := range w.Workers {
		if g.Can(l) {
			n += g.Free + window(g)
		}
	}
	return n
}

func window(g store.Group) int { return 1 + g.Slots/4 }

// Choose returns the builds to offer next with their tags, in the order in which they go out. A build with requirements is chosen when it
// is its turn and a worker that meets them has a free slot or may get its next one reserved. It holds back nothing else.
func Choose(w World) []store.Build {
	used, seats := w.usage(), w.seats()
	var chosen []store.Build
	for lanes := sortedLanes(w.Pending); len(lanes) > 0; {
		n := slices.IndexFunc(lanes, func(l store.Lane) bool { return l.Queue() != lanes[0].Queue() })
		if n < 0 {
			n = len(lanes)
		}
		chosen = append(chosen, w.chooseOf(lanes[:n], used, seats)...)
		lanes = lanes[n:]
	}
	return chosen
}

// chooseOf chooses from the lanes of one pool and platform.
func (w World) chooseOf(lanes []store.Lane, used *usage, seats *seats) (chosen []store.Build) {
	room := w.Room(lanes[0])
	var queues []*queue
	for _, l := range lanes {
		if l.Requires != "" && w.Reach(l) > 0 || l.Requires == "" && (room > 0 || len(lanes) > 1) {
			queues = append(queues, w.queue(l, used))
		}
	}
	for {
		q := earliest(queues)
		switch {
		case q == nil, q.lane.Requires == "" && room <= 0:
			return chosen
		case q.lane.Requires == "":
			room--
		default:
			free, ok := seats.take(q.lane)
			if !ok { // the workers that it needs are taken by builds before it
				queues = slices.DeleteFunc(queues, func(other *queue) bool { return other == q })
				continue
			}
			if free {
				room--
			}
		}
		b, _ := q.next() // earliest says that there is one
		chosen = append(chosen, b)
	}
}

// seats are the slots that builds with requirements may get.
type seats struct {
	groups []store.Group
	// reserved counts the builds that wait for the next slot of a group.
	reserved []int
}

func (w World) seats() *seats {
	return &seats{groups: slices.Clone(w.Workers), reserved: make([]int, len(w.Workers))}
}

// take takes a slot for a build of a lane: a free one, else the next one of workers that are busy. ok is false if there is neither.
func (s *seats) take(l store.Lane) (free, ok bool) {
	for i, g := range s.groups {
		if g.Free > 0 && g.Can(l) {
			s.groups[i].Free--
			return true, true
		}
	}
	for i, g := range s.groups {
		if s.reserved[i] < window(g) && g.Can(l) {
			s.reserved[i]++
			return false, true
		}
	}
	return false, false
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

// earliest returns the queue whose best build goes first. Queues of one pool and platform, which must be next to each other, share their
// tags and are compared by the whole rule; others by effective priority, then by age, since their tags cannot be compared.
func earliest(queues []*queue) *queue {
	var first, among *queue // the first of all, and that of the pool and platform
	var at, amongAt key
	settle := func() {
		if among == nil {
			return
		}
		if k := (key{effective: amongAt.effective, seq: amongAt.seq}); first == nil || k.compare(at) < 0 {
			first, at = among, k
		}
		among = nil
	}
	for _, q := range queues {
		if among != nil && among.lane.Queue() != q.lane.Queue() {
			settle()
		}
		if f := q.best(); f != nil && (among == nil || f.key.compare(amongAt) < 0) {
			among, amongAt = q, f.key
		}
	}
	settle()
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
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Requires, b.Requires))
	})
}
