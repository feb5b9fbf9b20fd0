package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// roundEvery is the safety net under the wake-up signal: it also brings back builds whose back-off has passed.
const roundEvery = time.Second

// wake asks for a round soon. Send or skip: one waiting signal stands for any number of changes.
func (s *Scheduler) wake() {
	s.forecasts.invalidate()
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// returned is wake after builds have come, or come back: whoever polls next sees them.
func (s *Scheduler) returned() {
	s.deck.shuffle()
	s.wake()
}

// restShare of a round's own time passes before the next one: what changes meanwhile shares it, and however many builds wait,
// rounds take at most half of one processor. On an idle farm a round takes a millisecond.
const restShare = 1

// releaseLoop hands out what choose picks, whenever something has changed.
func (s *Scheduler) releaseLoop(ctx context.Context) error {
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "round failed, the next one tries again", "err", err)
		}
		rest := time.NewTimer(restShare * time.Since(began))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		case <-tick.C:
		}
	}
}

func (s *Scheduler) round(ctx context.Context) error {
	w, err := s.look(ctx)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(dispatch.Choose(w), releaseBatch) {
		if err := s.release(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// joining is how long a worker that has registered counts as one that is about to connect.
const joining = 30 * time.Second

// releaseBatch bounds one transaction: it holds what it releases until it is done.
const releaseBatch = 64

// look reads the world. Each step is taken only if the one before leaves something to choose, and what is read of the waiting builds
// grows with the room there is, not with the builds that wait.
func (s *Scheduler) look(ctx context.Context) (w dispatch.World, err error) {
	if err := s.recount(ctx, roundEvery); err != nil {
		return w, err
	}
	now := s.now()
	if due, err := s.store.HasPending(ctx, now); err != nil || !due {
		return w, err
	}
	groups, err := s.store.Groups(ctx, now.Add(-joining))
	if err != nil {
		return w, err
	}
	// Nothing is put on offer for workers that poll.
	groups = slices.DeleteFunc(groups, func(g store.Group) bool { return g.Polls })
	if len(groups) == 0 {
		return w, nil
	}
	if w.Queued, err = s.store.QueuedByLane(ctx); err != nil {
		return w, err
	}
	w.Workers = groups
	lanes, err := s.store.PendingLanes(ctx, now)
	if err != nil {
		return w, err
	}
	rooms := map[store.Lane]int{}
	for _, l := range lanes {
		if room := w.Room(l); room > 0 {
			rooms[l] = room
		}
	}
	err = s.readLanes(ctx, &w, now, rooms)
	return w, err
}

// readLanes reads what is needed to choose up to so many builds of each lane.
func (s *Scheduler) readLanes(ctx context.Context, w *dispatch.World, now time.Time, rooms map[store.Lane]int) (err error) {
	if len(rooms) == 0 {
		return nil
	}
	w.Now, w.Rules, w.Cost = now, s.rules.dispatch(), s.estimates.cost
	w.Pending, w.Tags = map[store.Lane][]store.Build{}, map[store.Lane]dispatch.Tags{}
	if err := s.readLoads(ctx, w); err != nil {
		return err
	}
	for l, room := range rooms {
		heads, err := s.store.Heads(ctx, l, now, room)
		if err != nil {
			return err
		}
		if w.Tags[l], err = s.tags(ctx, l, heads); err != nil {
			return err
		}
		w.Pending[l] = heads
		s.estimates.prepare(ctx, heads)
	}
	return nil
}

// readLoads reads what projects have of the farm now: their builds that run or are on offer, and how much longer than expected those
// that run have taken.
func (s *Scheduler) readLoads(ctx context.Context, w *dispatch.World) error {
	loads, err := s.store.Loads(ctx)
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
		s.estimates.prepare(ctx, []store.Build{b})
		w.Overrun[l.Lane][l.Project] += max(0, w.Now.Sub(l.AssignedAt)-s.estimates.cost(b))
	}
	return nil
}

// tags reads the memory of fair queueing for the projects of some builds.
func (s *Scheduler) tags(ctx context.Context, l store.Lane, builds []store.Build) (t dispatch.Tags, err error) {
	if t.Virtual, err = s.store.VirtualTime(ctx, l); err != nil {
		return t, err
	}
	t.Finish = map[string]float64{}
	for _, b := range builds {
		if _, known := t.Finish[b.Project]; known {
			continue
		}
		if t.Finish[b.Project], err = s.store.FinishTag(ctx, l, b.Project); err != nil {
			return t, err
		}
	}
	return t, nil
}

// release puts attempts on offer, in one transaction. Another scheduler may have done so, or a person cancelled: that is no
// error. Locked in one order by all schedulers, so that none waits for the other.
func (s *Scheduler) release(ctx context.Context, batch []store.Build) error {
	bySeq := slices.SortedFunc(slices.Values(batch), func(a, b store.Build) int { return cmp.Compare(a.Seq, b.Seq) })
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		for _, b := range bySeq {
			if err := s.releaseOne(ctx, tx, b); err != nil && !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return nil
	})
	if err != nil && isFault(err) {
		return s.releaseApart(ctx, bySeq)
	}
	return err
}

// releaseApart puts each attempt on offer in a transaction of its own, because one of them broke the batch.
// That one is counted, and ended in the end; the others are not held up by it.
func (s *Scheduler) releaseApart(ctx context.Context, batch []store.Build) error {
	for _, b := range batch {
		err := s.store.Update(ctx, func(tx *store.Tx) error { return s.releaseOne(ctx, tx, b) })
		if err == nil || errors.Is(err, store.ErrConflict) {
			continue
		}
		if !isFault(err) {
			return err
		}
		s.countFault(ctx, "", attemptKey{b.ID, b.Attempt}, fmt.Sprintf("it could not be offered to workers (%d tries)", maxFaults), err)
	}
	return nil
}

func (s *Scheduler) releaseOne(ctx context.Context, tx *store.Tx, b store.Build) error {
	fresh, err := tx.Build(ctx, b.ID)
	if err != nil {
		return err
	}
	if fresh.State != build.Pending || fresh.Attempt != b.Attempt {
		return store.ErrConflict
	}
	if err := s.withinLimits(ctx, tx, fresh); err != nil {
		return err
	}
	_, err = s.step(ctx, tx, fresh, build.Release, func(c *change) error {
		invitation, err := handOut(ctx, c.now, c.at)
		if err != nil {
			return err
		}
		if fresh.Offers > 0 { // offered before and withdrawn: the stream would drop a second message of the same id
			invitation = invitation.WithID(invitation.ID + "." + build.NewID())
		}
		c.facts = append(c.facts, invitation)
		c.now.OfferedAt, c.now.Offers = c.at, 1
		return c.queue(ctx, b)
	})
	return err
}

// queue makes the attempt one that may be claimed, with the tags that the dispatch rule gave it.
func (c *change) queue(ctx context.Context, chosen store.Build) error {
	c.now.QueuedAt = c.at
	c.now.VStart, c.now.VFinish = chosen.VStart, chosen.VFinish
	return c.tell(ctx, bus.Queued, &eventsv1.BuildQueued{
		BuildId: c.now.ID, Attempt: c.now.Attempt, Pool: c.now.Pool, Platform: string(c.now.Platform), QueuedAtMs: c.at.UnixMilli(),
	})
}
