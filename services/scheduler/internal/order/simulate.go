package order

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// Place is where a waiting build stands.
type Place struct {
	// Position in the order of its pool and platform, from 1.
	Position int32
	// Start is when it is expected to run; zero if that cannot be known, as without a worker that can build it.
	Start time.Time
	// Limited is why it is passed over now, if it is.
	Limited Limit
}

// Limit names what holds a build back although a slot is free.
type Limit int

// The limits.
const (
	Unlimited Limit = iota
	ProjectLimit
	PoolLimit
)

// Snapshot is what a forecast is made from.
type Snapshot struct {
	World

	// Offered are the builds on offer, Delayed those that wait for their backoff, Running those that a worker holds.
	Offered, Delayed, Running []store.Build
	// Remaining is how long a running build is expected to take from now.
	Remaining func(store.Build) time.Duration
}

// Simulate runs the dispatch rule ahead and returns the place of every waiting build by its id.
func Simulate(s Snapshot) map[string]Place {
	f := newForecast(s)
	f.noteLimits()
	f.run()
	f.rest()
	return f.places
}

type forecast struct {
	Snapshot

	now    time.Time
	lanes  []store.Lane
	queues map[store.Lane]*queue
	// offered has what is on offer in each lane, the first one first.
	offered map[store.Lane][]store.Build
	// free slots by group of workers; serves has the lanes that a group can build, groups the order in which they take builds.
	free   []int
	serves [][]store.Lane
	groups []int
	events eventHeap
	places map[string]Place
	count  map[store.Lane]int32
	// limits are found before the simulation moves the time on.
	limits map[string]Limit
	used   *usage
	aged   time.Time
}

// event is the end of a build or of a backoff.
type event struct {
	at    time.Time
	seq   int
	group int // whose slot becomes free; -1 for a backoff
	build store.Build
}

func newForecast(s Snapshot) *forecast {
	f := &forecast{
		Snapshot: s, now: s.Now, aged: s.Now, queues: map[store.Lane]*queue{}, offered: map[store.Lane][]store.Build{},
		places: map[string]Place{}, count: map[store.Lane]int32{}, limits: map[string]Limit{}, used: s.usage(),
	}
	lanes := map[store.Lane]bool{}
	for l := range s.Pending {
		lanes[l] = true
	}
	for _, b := range slices.Concat(s.Offered, s.Delayed) {
		lanes[b.Lane()] = true
	}
	f.lanes = sortedLanes(lanes)
	for _, l := range f.lanes {
		f.queues[l] = s.queue(l, f.used)
	}
	for _, b := range s.Offered {
		f.offered[b.Lane()] = append(f.offered[b.Lane()], b)
	}
	for _, offered := range f.offered {
		slices.SortFunc(offered, func(a, b store.Build) int { return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.Seq, b.Seq)) })
	}
	f.free = make([]int, len(s.Workers))
	f.serves = make([][]store.Lane, len(s.Workers))
	for i, g := range s.Workers {
		f.free[i] = g.Free
		f.groups = append(f.groups, i)
		f.serves[i] = slices.DeleteFunc(slices.Clone(f.lanes), func(l store.Lane) bool { return !g.Can(l) })
	}
	// Workers that can build less go first, so that the others are left for the builds that need them.
	slices.SortStableFunc(f.groups, func(a, b int) int { return cmp.Compare(len(f.serves[a]), len(f.serves[b])) })
	f.occupy()
	for _, b := range s.Delayed {
		f.push(event{at: b.NotBefore, group: -1, build: b})
	}
	return f
}

// occupy has each running build free a slot of a group that can build it: those with requirements first. Which of several groups holds
// it does not matter for an estimate.
func (f *forecast) occupy() {
	held := make([]int, len(f.Workers))
	for i, g := range f.Workers {
		held[i] = g.Slots - g.Free
	}
	running := slices.SortedStableFunc(slices.Values(f.Running), func(a, b store.Build) int {
		return -cmp.Compare(min(len(a.Settings.Requires), 1), min(len(b.Settings.Requires), 1))
	})
	for _, b := range running {
		for i, g := range f.Workers {
			if g.Can(b.Lane()) && held[i] > 0 {
				held[i]--
				f.push(event{at: f.now.Add(f.Remaining(b)), group: i, build: b})
				break
			}
		}
	}
}

// noteLimits finds the builds that a limit holds back now.
func (f *forecast) noteLimits() {
	for l, pending := range f.Pending {
		poolFull := f.used.poolFull(f.Rules, l.Pool)
		for _, b := range pending {
			switch {
			case f.used.projectFull(f.Rules, b.Project):
				f.limits[b.ID] = ProjectLimit
			case poolFull:
				f.limits[b.ID] = PoolLimit
			}
		}
	}
}

// run lets the time pass from event to event until nothing is left that a worker could take.
func (f *forecast) run() {
	for {
		f.dispatch()
		if len(f.events) == 0 {
			return
		}
		e := heap.Pop(&f.events).(event) //nolint:forcetypeassert // only events are pushed
		if e.at.After(f.now) {
			f.now = e.at
			f.age()
		}
		f.apply(e)
	}
}

// age lets effective priorities rise with the simulated time.
func (f *forecast) age() {
	if f.Rules.AgeEvery <= 0 || f.now.Sub(f.aged) < f.Rules.AgeEvery {
		return
	}
	f.aged = f.now
	for _, q := range f.queues {
		q.now = f.now
		q.reorder()
	}
}

func (f *forecast) apply(e event) {
	if e.group < 0 {
		f.queues[e.build.Lane()].add(e.build)
		return
	}
	f.free[e.group]++
	f.used.add(e.build.Pool, e.build.Project, -1)
	account := f.clock(e.build.Lane(), f.used).account(f.Rules, e.build.Project)
	account.live = max(0, account.live-1)
	for l, q := range f.queues {
		if l.Queue() == e.build.Lane().Queue() {
			q.ended(e.build.Project)
		}
		q.unblock(e.build.Project)
	}
}

// dispatch fills the free slots.
func (f *forecast) dispatch() {
	for _, i := range f.groups {
		for f.free[i] > 0 {
			b, ok := f.take(f.serves[i])
			if !ok {
				break
			}
			f.free[i]--
			f.place(b, f.now)
			f.push(event{at: f.now.Add(f.Cost(b)), group: i, build: b})
		}
	}
}

// take removes the build that goes next in some lanes: what is on offer before what is not.
func (f *forecast) take(lanes []store.Lane) (store.Build, bool) {
	var offered store.Lane
	found := false
	var queues []*queue
	for _, l := range lanes {
		if o := f.offered[l]; len(o) > 0 && (!found || o[0].QueuedAt.Before(f.offered[offered][0].QueuedAt)) {
			offered, found = l, true
		}
		queues = append(queues, f.queues[l])
	}
	if found {
		b := f.offered[offered][0]
		f.offered[offered] = f.offered[offered][1:]
		return b, true
	}
	if q := earliest(queues); q != nil {
		return q.next()
	}
	return store.Build{}, false
}

func (f *forecast) place(b store.Build, at time.Time) {
	l := b.Lane().Queue()
	f.count[l]++
	f.places[b.ID] = Place{Position: f.count[l], Start: at, Limited: f.limits[b.ID]}
}

// rest gives positions without a time to what no worker can take.
func (f *forecast) rest() {
	for _, l := range f.lanes {
		for _, b := range f.offered[l] {
			f.place(b, time.Time{})
		}
		q := f.queues[l]
		q.rules.Projects, q.rules.Pools = withoutLimits(f.Rules.Projects), nil
		q.reorder()
		for {
			b, ok := q.next()
			if !ok {
				break
			}
			f.place(b, time.Time{})
		}
	}
}

func withoutLimits(projects map[string]Project) map[string]Project {
	free := make(map[string]Project, len(projects))
	for name, p := range projects {
		p.MaxRunning = 0
		free[name] = p
	}
	return free
}

func (f *forecast) push(e event) {
	e.seq = len(f.places) + len(f.events)
	heap.Push(&f.events, e)
}

// eventHeap orders events by time.
type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return cmp.Or(h[i].at.Compare(h[j].at), cmp.Compare(h[i].seq, h[j].seq)) < 0
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *eventHeap) Push(x any) { *h = append(*h, x.(event)) } //nolint:forcetypeassert // only events are pushed

// Pop is for container/heap.
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
