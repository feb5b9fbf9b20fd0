package order

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// Tags is the memory of fair queueing in one lane.
type Tags struct {
	// Virtual is the lane's virtual time: the largest start tag that was dispatched.
	Virtual float64
	// Finish is the largest finish tag of each project.
	Finish map[string]float64
}

// clock is the virtual time of a pool and platform, and what each project has been charged there. Lanes that differ in requirements only
// share it, so that a project's builds with requirements count as its others do.
type clock struct {
	virtual  float64
	accounts map[string]*account
}

// account is what a project has of a pool and platform.
type account struct {
	weight float64
	live   int
	finish float64
	// overrun is how many minutes its running builds have taken beyond what they were charged.
	overrun float64
}

// clock returns the clock of a lane.
func (w World) clock(l store.Lane, used *usage) *clock {
	l = l.Queue()
	if c := used.clocks[l]; c != nil {
		return c
	}
	c := &clock{virtual: w.Tags[l].Virtual, accounts: map[string]*account{}}
	used.clocks[l] = c
	for project, n := range w.Live[l] {
		c.account(w.Rules, project).live = n
	}
	for project, over := range w.Overrun[l] {
		c.account(w.Rules, project).overrun = over.Minutes()
	}
	for project, finish := range w.Tags[l].Finish {
		c.account(w.Rules, project).finish = finish
	}
	return c
}

func (c *clock) account(r Rules, project string) *account {
	a := c.accounts[project]
	if a == nil {
		a = &account{weight: r.weight(project)}
		c.accounts[project] = a
	}
	return a
}

// queue holds the waiting builds of one lane in dispatch order. It is not safe for concurrent use.
type queue struct {
	lane  store.Lane
	rules Rules
	used  *usage
	clock *clock
	flows map[string]*flow
	order flowHeap
	// blocked are the flows whose project is at its limit.
	blocked map[*flow]bool
	// top is the highest priority that a waiting build asked for.
	top int32
	now time.Time
	// cost is a build's expected duration in minutes.
	cost func(store.Build) float64
}

// flow is one project's part of a lane.
type flow struct {
	*account

	project string
	// levels has a FIFO for each priority, the highest first.
	levels []level
	key    key
	index  int
}

type level struct {
	priority int32
	builds   []store.Build
}

// key is what flows are compared by, the smallest first.
type key struct {
	effective int32 // the higher, the earlier
	start     float64
	share     float64
	seq       int64
}

func (a key) compare(b key) int {
	return cmp.Or(cmp.Compare(b.effective, a.effective), cmp.Compare(a.start, b.start), cmp.Compare(a.share, b.share), cmp.Compare(a.seq, b.seq))
}

// queue returns the sealed queue of one lane.
func (w World) queue(l store.Lane, used *usage) *queue {
	q := &queue{
		lane: l, rules: w.Rules, used: used, clock: w.clock(l, used), flows: map[string]*flow{}, blocked: map[*flow]bool{}, now: w.Now,
		cost: func(b store.Build) float64 { return w.Cost(b).Minutes() },
	}
	for _, b := range w.Pending[l] {
		q.flow(b.Project).push(b)
	}
	q.seal()
	return q
}

func (q *queue) flow(project string) *flow {
	f := q.flows[project]
	if f == nil {
		f = &flow{account: q.clock.account(q.rules, project), project: project, index: -1}
		q.flows[project] = f
	}
	return f
}

// seal orders the builds that were pushed.
func (q *queue) seal() {
	q.setTop()
	for _, f := range q.flows {
		for _, l := range f.levels {
			slices.SortFunc(l.builds, func(a, b store.Build) int { return cmp.Compare(a.Seq, b.Seq) })
		}
	}
	q.reorder()
}

// setTop finds the highest priority that is waiting.
func (q *queue) setTop() {
	first := true
	for _, f := range q.flows {
		if len(f.levels) > 0 && (first || f.levels[0].priority > q.top) {
			q.top, first = f.levels[0].priority, false
		}
	}
}

// reorder recomputes every key. Keys otherwise get worse only, until a build ends or ages.
func (q *queue) reorder() {
	q.order, q.blocked = q.order[:0], map[*flow]bool{}
	for _, f := range q.flows {
		f.index = -1
		if len(f.levels) == 0 {
			continue
		}
		if q.used.projectFull(q.rules, f.project) {
			q.blocked[f] = true
			continue
		}
		f.key = q.keyOf(f)
		f.index = len(q.order)
		q.order = append(q.order, f)
	}
	heap.Init(&q.order)
}

func (f *flow) push(b store.Build) {
	i, found := slices.BinarySearchFunc(f.levels, b.Priority, func(l level, p int32) int { return cmp.Compare(p, l.priority) })
	if !found {
		f.levels = slices.Insert(f.levels, i, level{priority: b.Priority})
	}
	f.levels[i].builds = append(f.levels[i].builds, b)
}

// head returns the level whose first build goes next, and that build's effective priority.
func (q *queue) head(f *flow) (int, int32) {
	best, bestEffective := 0, int32(0)
	for i, l := range f.levels {
		b := l.builds[0]
		e := q.rules.effective(b.Priority, q.now.Sub(b.SubmittedAt), q.top)
		if i == 0 || e > bestEffective || e == bestEffective && b.Seq < f.levels[best].builds[0].Seq {
			best, bestEffective = i, e
		}
	}
	return best, bestEffective
}

func (q *queue) keyOf(f *flow) key {
	i, effective := q.head(f)
	return key{effective, max(q.clock.virtual, f.finish) + f.overrun/f.weight, float64(f.live) / f.weight, f.levels[i].builds[0].Seq}
}

// best returns the flow that goes next; nil if none may.
func (q *queue) best() *flow {
	if q.used.poolFull(q.rules, q.lane.Pool) {
		return nil
	}
	for len(q.order) > 0 {
		f := q.order[0]
		if q.used.projectFull(q.rules, f.project) {
			heap.Pop(&q.order)
			q.blocked[f] = true
			continue
		}
		// The virtual time may have moved on since the key was made: a key that got worse goes back to its place.
		if k := q.keyOf(f); k != f.key {
			f.key = k
			heap.Fix(&q.order, 0)
			if q.order[0] != f {
				continue
			}
		}
		return f
	}
	return nil
}

// next takes the build that goes next and writes its tags; false if none may go.
func (q *queue) next() (store.Build, bool) {
	f := q.best()
	if f == nil {
		return store.Build{}, false
	}
	i, _ := q.head(f)
	b := f.levels[i].builds[0]
	if f.levels[i].builds = f.levels[i].builds[1:]; len(f.levels[i].builds) == 0 {
		f.levels = slices.Delete(f.levels, i, i+1)
	}
	if b.VFinish == 0 { // a later attempt was paid for by the first
		b.VStart = max(q.clock.virtual, f.finish)
		b.VFinish = b.VStart + q.cost(b)/f.weight
		q.clock.virtual, f.finish = b.VStart, b.VFinish
	}
	f.live++
	q.used.add(q.lane.Pool, f.project, 1)
	if len(f.levels) == 0 {
		heap.Remove(&q.order, f.index)
	} else {
		f.key = q.keyOf(f)
		heap.Fix(&q.order, f.index)
	}
	return b, true
}

// add puts one more build into a sealed queue.
func (q *queue) add(b store.Build) {
	f := q.flow(b.Project)
	f.push(b)
	if b.Priority > q.top {
		q.top = b.Priority
		q.reorder()
		return
	}
	q.restore(f)
}

// ended restores the place of a project's flow after one of its running builds is over.
func (q *queue) ended(project string) {
	if f := q.flows[project]; f != nil {
		q.restore(f)
	}
}

// restore puts a flow where it belongs after its key got better.
func (q *queue) restore(f *flow) {
	if len(f.levels) == 0 {
		return
	}
	delete(q.blocked, f)
	f.key = q.keyOf(f)
	if f.index < 0 {
		heap.Push(&q.order, f)
		return
	}
	heap.Fix(&q.order, f.index)
}

// unblock lets a project's flow go again after one of its builds ended in any lane.
func (q *queue) unblock(project string) {
	if f := q.flows[project]; f != nil && q.blocked[f] {
		q.restore(f)
	}
}

// flowHeap orders flows by their key.
type flowHeap []*flow

func (h flowHeap) Len() int           { return len(h) }
func (h flowHeap) Less(i, j int) bool { return h[i].key.compare(h[j].key) < 0 }
func (h flowHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *flowHeap) Push(x any) {
	f := x.(*flow) //nolint:forcetypeassert // only flows are pushed
	f.index = len(*h)
	*h = append(*h, f)
}

// Pop is for container/heap.
func (h *flowHeap) Pop() any {
	old := *h
	f := old[len(old)-1]
	f.index = -1
	*h = old[:len(old)-1]
	return f
}
