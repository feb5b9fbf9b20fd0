package handout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// SettleTime is how long a hand-out may be on its way from SQL through the outbox to the stream before it counts as missing.
	SettleTime = 2 * time.Second
	// OfferAgainAfter is how long a hand-out may lie unclaimed while its lane has free slots: two deliveries have had their time. It
	// doubles with each further offer, up to offerAgainMost, for farms whose free workers are dead and not yet known to be.
	OfferAgainAfter = 2 * bus.QueueAckWait
	offerAgainMost  = 5 * time.Minute
)

// Run compares BUILD_QUEUE with SQL at the start and on a timer, until ctx ends.
func (q *Queue) Run(ctx context.Context) error {
	return backoff.Loop{Doing: "reconcile queue", Every: q.cfg.Every, AtOnce: true, Log: q.log}.Run(ctx, q.Reconcile)
}

// Reconcile makes the queue agree with SQL:
//   - what SQL has on offer and the stream lacks is put back;
//   - what has been on offer for too long while its lane has free slots is offered anew, whatever the stream says: JetStream can hold
//     a message that it never delivers again (docs/decisions/0027);
//   - what the stream has and SQL does not want, and all but the newest of several hand-outs of one attempt, are deleted.
//
// The stream is read first: what is released between the two reads is then only in SQL, and younger than SettleTime.
func (q *Queue) Reconcile(ctx context.Context) error {
	if err := q.checkTopology(ctx); err != nil {
		return err
	}
	stream, err := q.js.Stream(ctx, bus.QueueStream)
	if err != nil {
		return fmt.Errorf("open %s: %w", bus.QueueStream, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("read %s: %w", bus.QueueStream, err)
	}
	queued, err := q.store.Queued(ctx)
	if err != nil {
		return err
	}
	free, err := q.freeSlots(ctx, queued)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, b := range queued {
		subject := bus.QueueSubject(b.Pool, string(b.Platform), b.ID, b.Attempt)
		wanted[subject] = true
		age := q.now().Sub(b.LastOffered())
		switch {
		case info.State.Subjects[subject] == 0 && age > SettleTime:
			err = q.offerAgain(ctx, b, "missing")
		case free[b.Lane()] > 0 && age > Patience(b):
			err = q.offerAgain(ctx, b, "unclaimed")
		}
		if err != nil {
			return err
		}
	}
	return q.deleteStale(ctx, stream, info.State.Subjects, wanted)
}

// Patience returns how long a build may stay on offer while its lane has free slots.
func Patience(b store.Build) time.Duration {
	return min(OfferAgainAfter<<min(max(b.Offers-1, 0), 8), offerAgainMost)
}

// freeSlots counts the free slots of workers on the bus for the lanes of the builds.
func (q *Queue) freeSlots(ctx context.Context, queued []store.Build) (map[store.Lane]int, error) {
	if len(queued) == 0 {
		return nil, nil // a nil map has no free slots
	}
	groups, err := q.store.Groups(ctx, q.now())
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
func (q *Queue) offerAgain(ctx context.Context, b store.Build, why string) error {
	err := q.store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Build(ctx, b.ID)
		if err != nil {
			return err
		}
		if fresh.State != build.Queued || fresh.Attempt != b.Attempt || !fresh.LastOffered().Equal(b.LastOffered()) {
			return store.ErrConflict // claimed, or another scheduler was quicker
		}
		again := fresh
		again.OfferedAt = q.now()
		again.Offers++
		if err := tx.SaveBuild(ctx, fresh, again); err != nil {
			return err
		}
		m, err := transition.HandOut(ctx, again, again.OfferedAt)
		if err != nil {
			return err
		}
		return tx.Emit(ctx, m.WithID(m.ID+"."+build.NewID()))
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err == nil {
		q.meter.offeredAgain(ctx, why)
		q.log.WarnContext(ctx, "hand-out offered again", "reason", why, "build_id", b.ID, "attempt", b.Attempt, "offers", b.Offers+1,
			"age", q.now().Sub(b.LastOffered()).Round(time.Second))
	}
	return err
}

// maxDeletes bounds what one round deletes, so that a wiped database does not turn a round into minutes.
const maxDeletes = 1000

// deleteStale deletes hand-outs that nobody wants and those that were replaced. By sequence, as an acknowledgement does: a purge by subject
// strands other messages of the consumer that wait for redelivery. What is left behind is refused at its claim and acknowledged.
func (q *Queue) deleteStale(ctx context.Context, stream jetstream.Stream, has map[string]uint64, wanted map[string]bool) error {
	deleted := 0
	for subject, n := range has {
		keep := uint64(0)
		if wanted[subject] {
			keep = 1
		}
		if n <= keep {
			continue
		}
		some, err := bus.DeleteOldest(ctx, stream, subject, n-keep)
		if err != nil {
			return fmt.Errorf("delete hand-outs of %s: %w", subject, err)
		}
		if deleted += some; deleted >= maxDeletes {
			return nil
		}
	}
	return nil
}
