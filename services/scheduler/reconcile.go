package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// settleTime is how long a hand-out may be on its way from SQL through the outbox to the stream before it counts as missing.
	settleTime = 2 * time.Second
	// offerAgainAfter is how long a hand-out may lie unclaimed while its lane has free slots: two deliveries have had their time. It
	// doubles with each further offer, up to offerAgainMost, for farms whose free workers are dead and not yet known to be.
	offerAgainAfter = 2 * bus.QueueAckWait
	offerAgainMost  = 5 * time.Minute
)

// reconcileLoop compares BUILD_QUEUE with SQL at start, on a timer, and when the bus has come back.
func (s *Scheduler) reconcileLoop(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.ReconcileEvery)
	defer tick.Stop()
	for {
		if err := s.reconcile(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "reconcile queue failed; the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reconcile makes the queue agree with SQL:
//   - what SQL has on offer and the stream lacks is put back;
//   - what has been on offer for too long while its lane has free slots is offered anew, whatever the stream says: JetStream can hold
//     a message that it never delivers again (docs/decisions/0027);
//   - what the stream has and SQL does not want, and all but the newest of several hand-outs of one attempt, are deleted.
//
// The stream is read first: what is released between the two reads is then only in SQL, and younger than settleTime.
func (s *Scheduler) reconcile(ctx context.Context) error {
	if err := s.checkTopology(ctx); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, bus.QueueStream)
	if err != nil {
		return fmt.Errorf("open %s: %w", bus.QueueStream, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("read %s: %w", bus.QueueStream, err)
	}
	queued, err := s.store.Queued(ctx)
	if err != nil {
		return err
	}
	free, err := s.freeSlots(ctx, queued)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, b := range queued {
		subject := bus.QueueSubject(b.Pool, string(b.Platform), b.ID, b.Attempt)
		wanted[subject] = true
		age := s.now().Sub(b.LastOffered())
		switch {
		case info.State.Subjects[subject] == 0 && age > settleTime:
			err = s.offerAgain(ctx, b, "missing")
		case free[b.Lane()] > 0 && age > patienceWith(b):
			err = s.offerAgain(ctx, b, "unclaimed")
		}
		if err != nil {
			return err
		}
	}
	return s.deleteStale(ctx, stream, info.State.Subjects, wanted)
}

// patienceWith returns how long a build may stay on offer while its lane has free slots.
func patienceWith(b store.Build) time.Duration {
	return min(offerAgainAfter<<min(max(b.Offers-1, 0), 8), offerAgainMost)
}

// freeSlots counts the free slots of workers on the bus for the lanes of the builds.
func (s *Scheduler) freeSlots(ctx context.Context, queued []store.Build) (map[store.Lane]int, error) {
	if len(queued) == 0 {
		return nil, nil // a nil map has no free slots
	}
	groups, err := s.store.Groups(ctx, s.now())
	if err != nil {
		return nil, err
	}
	free := map[store.Lane]int{}
	for _, b := range queued {
		if _, counted := free[b.Lane()]; counted {
			continue
		}
		free[b.Lane()] = 0
		for _, g := range groups {
			if !g.Polls && g.Can(b.Lane()) {
				free[b.Lane()] += g.Free
			}
		}
	}
	return free, nil
}

// offerAgain puts a hand-out on the queue once more, under an id of its own: the first one may still be in the window of
// duplicates. That it may now be there twice is harmless: the claim of the second is refused.
func (s *Scheduler) offerAgain(ctx context.Context, b store.Build, why string) error {
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Build(ctx, b.ID)
		if err != nil {
			return err
		}
		if fresh.State != build.Queued || fresh.Attempt != b.Attempt || !fresh.LastOffered().Equal(b.LastOffered()) {
			return store.ErrConflict // claimed, or another scheduler was quicker
		}
		again := fresh
		again.OfferedAt = s.now()
		again.Offers++
		if err := tx.SaveBuild(ctx, fresh, again); err != nil {
			return err
		}
		m, err := handOut(ctx, again, again.OfferedAt)
		if err != nil {
			return err
		}
		return tx.Emit(ctx, m.WithID(m.ID+"."+build.NewID()))
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err == nil {
		s.meter.offeredAgain(ctx, why)
		s.log.WarnContext(ctx, "hand-out offered again", "reason", why, "build_id", b.ID, "attempt", b.Attempt, "offers", b.Offers+1,
			"age", s.now().Sub(b.LastOffered()).Round(time.Second))
	}
	return err
}

// maxDeletes bounds what one round deletes, so that a wiped database does not turn a round into minutes.
const maxDeletes = 1000

// deleteStale deletes hand-outs that nobody wants and those that were replaced. By sequence, as an acknowledgement does: a purge by subject
// strands other messages of the consumer that wait for redelivery. What is left behind is refused at its claim and acknowledged.
func (s *Scheduler) deleteStale(ctx context.Context, stream jetstream.Stream, has map[string]uint64, wanted map[string]bool) error {
	deleted := 0
	for subject, n := range has {
		keep := uint64(0)
		if wanted[subject] {
			keep = 1
		}
		if n <= keep {
			continue
		}
		some, err := deleteOldest(ctx, stream, subject, n-keep)
		if err != nil {
			return fmt.Errorf("delete hand-outs of %s: %w", subject, err)
		}
		if deleted += some; deleted >= maxDeletes {
			return nil
		}
	}
	return nil
}

// deleteOldest deletes the first n messages of some subjects one by one and returns how many that were.
func deleteOldest(ctx context.Context, stream jetstream.Stream, subject string, n uint64) (deleted int, err error) {
	from := uint64(1)
	for range n {
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return deleted, nil // acknowledged meanwhile
		}
		if err != nil {
			return deleted, err
		}
		if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !gone(ctx, stream, m.Sequence) {
			return deleted, err
		}
		deleted, from = deleted+1, m.Sequence+1
	}
	return deleted, nil
}

// gone reports whether a message that could not be deleted is not there any more: it was acknowledged a moment before.
func gone(ctx context.Context, stream jetstream.Stream, seq uint64) bool {
	_, err := stream.GetMsg(ctx, seq)
	return errors.Is(err, jetstream.ErrMsgNotFound)
}

const (
	// startPatience is how long a start waits for the bus: a cluster that starts as well, or has just lost a node, elects first.
	startPatience = 30 * time.Second
	startAgain    = 500 * time.Millisecond
)

// makeTopology creates or updates, at the start, what JetStream should hold and the consumer of each lane.
func (s *Scheduler) makeTopology(ctx context.Context) error {
	for began := s.now(); ; {
		err := s.ensureTopology(ctx)
		if err == nil || !bus.IsTransient(err) || s.now().Sub(began) > startPatience {
			return err
		}
		s.log.WarnContext(ctx, "create streams failed; trying again", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(startAgain):
		}
	}
}

func (s *Scheduler) topology() bus.Topology {
	topology := bus.NewTopology(s.cfg.Replicas)
	if s.cfg.AsyncTelemetry {
		topology = topology.AsyncTelemetry()
	}
	return topology
}

func (s *Scheduler) ensureTopology(ctx context.Context) error {
	if err := s.ensureStreams(ctx); err != nil {
		return err
	}
	lanes, err := s.store.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if err := bus.EnsureQueueConsumer(ctx, s.js, l.Pool, string(l.Platform)); err != nil {
			return err
		}
	}
	return nil
}

// checkTopology creates what a wiped server lacks. It only reads where nothing is missing: creating a consumer that exists writes its
// state anew, which the server should not do on a timer.
func (s *Scheduler) checkTopology(ctx context.Context) error {
	missing, err := bus.Missing(ctx, s.js, s.topology())
	if err != nil {
		return err
	}
	if missing {
		return s.ensureTopology(ctx)
	}
	names, err := bus.QueueConsumers(ctx, s.js)
	if err != nil {
		return err
	}
	lanes, err := s.store.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if slices.Contains(names, bus.QueueConsumer(l.Pool, string(l.Platform))) {
			continue
		}
		if err := bus.EnsureQueueConsumer(ctx, s.js, l.Pool, string(l.Platform)); err != nil {
			return err
		}
	}
	return nil
}
