package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// settleTime is how long a hand-out may be on its way from SQL through the outbox to the stream before it counts as missing.
const settleTime = 2 * time.Second

// reconcileLoop compares BUILD_QUEUE with SQL at start, on a timer, and when the bus has come back.
func (s *Scheduler) reconcileLoop(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.ReconcileEvery)
	defer tick.Stop()
	for {
		if err := s.reconcile(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "queue not reconciled, the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reconcile makes the stream agree with SQL: what SQL has on offer and the stream lacks is put back, what the stream has and
// SQL does not is taken out. The stream is read first: what is released between the two reads is then only in SQL, and
// younger than settleTime.
func (s *Scheduler) reconcile(ctx context.Context) error {
	if err := s.ensureTopology(ctx); err != nil {
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
	wanted := map[string]bool{}
	for _, b := range queued {
		subject := bus.QueueSubject(b.Pool, string(b.Platform), b.ID, b.Attempt)
		wanted[subject] = true
		if info.State.Subjects[subject] == 0 && s.now().Sub(b.QueuedAt) > settleTime {
			if err := s.offerAgain(ctx, b); err != nil {
				return err
			}
		}
	}
	return s.purgeStale(ctx, stream, info.State.Subjects, wanted)
}

// offerAgain puts a lost hand-out back, under an id of its own: the first one may still be in the de-duplication window.
func (s *Scheduler) offerAgain(ctx context.Context, b store.Build) error {
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Build(ctx, b.ID)
		if err != nil {
			return err
		}
		if fresh.State != build.Queued || fresh.Attempt != b.Attempt {
			return nil
		}
		again := fresh
		again.QueuedAt = s.now() // so that the next round waits for this one to settle
		if err := tx.SaveBuild(ctx, fresh, again); err != nil {
			return err
		}
		m, err := handOut(ctx, again, again.QueuedAt)
		if err != nil {
			return err
		}
		return tx.Emit(ctx, m.WithID(m.ID+"."+build.NewID()))
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err == nil {
		s.log.WarnContext(ctx, "hand-out was missing from the queue and is back", "build_id", b.ID, "attempt", b.Attempt)
	}
	return err
}

func (s *Scheduler) purgeStale(ctx context.Context, stream jetstream.Stream, has map[string]uint64, wanted map[string]bool) error {
	for subject := range has {
		if wanted[subject] {
			continue
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("purge %s: %w", subject, err)
		}
	}
	return nil
}

const (
	// startPatience is how long a start waits for the bus: a cluster that starts as well, or has just lost a node, elects first.
	startPatience = 30 * time.Second
	startAgain    = 500 * time.Millisecond
)

// makeTopology is ensureTopology at the start.
func (s *Scheduler) makeTopology(ctx context.Context) error {
	for began := s.now(); ; {
		err := s.ensureTopology(ctx)
		if err == nil || !bus.Passing(err) || s.now().Sub(began) > startPatience {
			return err
		}
		s.log.WarnContext(ctx, "streams not made yet; trying again", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(startAgain):
		}
	}
}

// ensureTopology makes what JetStream should hold and the consumer of each lane; a wiped server is whole again after it.
func (s *Scheduler) ensureTopology(ctx context.Context) error {
	topology := bus.NewTopology(s.cfg.Replicas)
	if s.cfg.LazyLogs {
		topology = topology.LazyLogs()
	}
	if err := bus.Ensure(ctx, s.js, topology); err != nil {
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
