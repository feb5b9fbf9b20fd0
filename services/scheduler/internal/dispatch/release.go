package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/faults"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/order"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// roundEvery is the safety net under the wake-up signal: it also brings back builds whose back-off has passed.
const roundEvery = time.Second

// restShare of a round's own time passes before the next one, which all changes meanwhile share: however many builds wait, rounds take
// at most half of one processor. On an idle farm a round takes a millisecond.
const restShare = 1

// Run releases builds whenever something has changed, until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	loop := backoff.Loop{Doing: "release builds", Every: roundEvery, Wake: d.machine.Signal.Woken(), AtOnce: true, Log: d.machine.Log}
	return loop.Run(ctx, func(ctx context.Context) error {
		began := time.Now()
		err := d.Round(ctx)
		_ = backoff.Sleep(ctx, restShare*time.Since(began)) // the loop sees that ctx has ended
		return err
	})
}

// Round releases what may run now.
func (d *Dispatcher) Round(ctx context.Context) error {
	w, err := d.look(ctx)
	if err != nil {
		return err
	}
	var queued, required []store.Build
	for _, b := range order.Choose(w) {
		if b.Settings.Requires == "" {
			queued = append(queued, b)
		} else {
			required = append(required, b)
		}
	}
	if queued, err = d.offers.withoutSticky(ctx, w, queued); err != nil {
		return err
	}
	for batch := range slices.Chunk(queued, releaseBatch) {
		if err := d.release(ctx, batch); err != nil {
			return err
		}
	}
	return d.offers.required(ctx, required)
}

// releaseBatch bounds one transaction: it holds what it releases until it is done.
const releaseBatch = 64

// look reads the world. Each step runs only if the one before leaves something to choose. What is read of the waiting builds grows with
// the free slots, not with the builds that wait.
func (d *Dispatcher) look(ctx context.Context) (w order.World, err error) {
	if err := d.waiting.Refresh(ctx, roundEvery); err != nil {
		return w, err
	}
	now := d.machine.Now()
	if due, err := d.machine.Store.HasPending(ctx, now); err != nil || !due {
		return w, err
	}
	lanes, err := d.machine.Store.PendingLanes(ctx, now)
	if err != nil {
		return w, err
	}
	groups, err := d.machine.Store.Groups(ctx, now.Add(-joining), lanes...)
	if err != nil {
		return w, err
	}
	// Nothing is put on offer for workers that poll.
	groups = slices.DeleteFunc(groups, func(g store.Group) bool { return g.Polls })
	if len(groups) == 0 {
		return w, nil
	}
	if w.Queued, err = d.machine.Store.QueuedByLane(ctx); err != nil {
		return w, err
	}
	w.Workers = groups
	err = d.readLanes(ctx, &w, now, rooms(w, lanes))
	return w, err
}

// rooms returns how many builds of each lane may be chosen. Without room, the next builds of a queue are read all the same if others of
// its pool and platform have requirements: they show whose turn it is.
func rooms(w order.World, lanes []store.Lane) map[store.Lane]int {
	rooms, mixed := map[store.Lane]int{}, map[store.Lane]bool{}
	for _, l := range lanes {
		if l.Requires == "" {
			continue
		}
		if n := w.Reach(l); n > 0 {
			rooms[l], mixed[l.Queue()] = n, true
		}
	}
	for _, l := range lanes {
		if l.Requires != "" {
			continue
		}
		if room := w.Room(l); room > 0 {
			rooms[l] = room
		} else if mixed[l] {
			rooms[l] = 1
		}
	}
	return rooms
}

// readLanes reads what is needed to choose up to so many builds of each lane.
func (d *Dispatcher) readLanes(ctx context.Context, w *order.World, now time.Time, rooms map[store.Lane]int) (err error) {
	if len(rooms) == 0 {
		return nil
	}
	w.Now, w.Rules, w.Cost = now, d.rules.Order(), d.estimates.cost
	w.Pending, w.Tags = map[store.Lane][]store.Build{}, map[store.Lane]order.Tags{}
	if err := d.readLoads(ctx, w); err != nil {
		return err
	}
	for l, room := range rooms {
		heads, err := d.machine.Store.Heads(ctx, l, now, room)
		if err != nil {
			return err
		}
		if err := d.readTags(ctx, w, l, heads); err != nil {
			return err
		}
		w.Pending[l] = heads
		d.estimates.prepare(ctx, heads)
	}
	return nil
}

// readLoads reads what projects have of the farm now: their builds that run or are on offer, and how much longer than expected those
// that run have taken.
func (d *Dispatcher) readLoads(ctx context.Context, w *order.World) error {
	loads, err := d.machine.Store.Loads(ctx)
	if err != nil {
		return err
	}
	w.Live, w.Overrun = map[store.Lane]map[string]int{}, map[store.Lane]map[string]time.Duration{}
	for _, l := range loads {
		if w.Live[l.Lane] == nil {
			w.Live[l.Lane], w.Overrun[l.Lane] = map[string]int{}, map[string]time.Duration{}
		}
		w.Live[l.Lane][l.Project]++
		if l.AssignedAt.IsZero() {
			continue
		}
		b := store.Build{Pool: l.Pool, Platform: l.Platform, Project: l.Project}
		d.estimates.prepare(ctx, []store.Build{b})
		w.Overrun[l.Lane][l.Project] += max(0, w.Now.Sub(l.AssignedAt)-d.estimates.cost(b))
	}
	return nil
}

// readTags reads the memory of fair queueing for the projects of some builds.
func (d *Dispatcher) readTags(ctx context.Context, w *order.World, l store.Lane, builds []store.Build) (err error) {
	l = l.Queue()
	t, known := w.Tags[l]
	if !known {
		if t.Virtual, err = d.machine.Store.VirtualTime(ctx, l); err != nil {
			return err
		}
		t.Finish = map[string]float64{}
		w.Tags[l] = t
	}
	for _, b := range builds {
		if _, known := t.Finish[b.Project]; known {
			continue
		}
		if t.Finish[b.Project], err = d.machine.Store.FinishTag(ctx, l, b.Project); err != nil {
			return err
		}
	}
	return nil
}

// release puts attempts on offer, in one transaction. It is no error if another scheduler has done so, or somebody cancelled. All
// schedulers lock builds in the same order, so that none waits for the other.
func (d *Dispatcher) release(ctx context.Context, batch []store.Build) error {
	bySeq := slices.SortedFunc(slices.Values(batch), func(a, b store.Build) int { return cmp.Compare(a.Seq, b.Seq) })
	err := d.machine.Store.Update(ctx, func(tx *store.Tx) error {
		for _, b := range bySeq {
			if err := d.releaseOne(ctx, tx, b); err != nil && !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return nil
	})
	if err != nil && faults.Is(err) {
		return d.releaseApart(ctx, bySeq)
	}
	return err
}

// releaseApart releases each attempt in a transaction of its own, because one of them broke the batch. That one is counted, and ended
// at last; it does not delay the others.
func (d *Dispatcher) releaseApart(ctx context.Context, batch []store.Build) error {
	for _, b := range batch {
		err := d.machine.Store.Update(ctx, func(tx *store.Tx) error { return d.releaseOne(ctx, tx, b) })
		if err == nil || errors.Is(err, store.ErrConflict) {
			continue
		}
		if !faults.Is(err) {
			return err
		}
		d.faults.Count(ctx, "", faults.Key{BuildID: b.ID, Attempt: b.Attempt}, fmt.Sprintf("it could not be offered to workers (%d tries)", faults.Max), err)
	}
	return nil
}

func (d *Dispatcher) releaseOne(ctx context.Context, tx *store.Tx, b store.Build) error {
	fresh, err := tx.Build(ctx, b.ID)
	if err != nil {
		return err
	}
	if fresh.State != build.Pending || fresh.Attempt != b.Attempt {
		return store.ErrConflict
	}
	if err := d.rules.WithinLimits(ctx, tx, fresh); err != nil {
		return err
	}
	_, err = d.machine.Offer(ctx, tx, fresh, b)
	return err
}
