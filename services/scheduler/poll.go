package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// seenEvery is how exactly it is known when a worker asked last: a poll that changes nothing else writes nothing.
	seenEvery = 10 * time.Second
	// maxCandidates bounds how many builds a poll tries to take when others are quicker.
	maxCandidates = 16
	// maxDealt is how many candidates are found at once, for workers that poll at the same time.
	maxDealt = 128
)

// Poll returns a worker that has no connection to the bus what it shall build: what it holds already, for the answer that gave
// it may not have arrived, or the first build that it can do. It is build.ErrWorkerUnknown for a worker that is not registered.
func (s *Scheduler) Poll(ctx context.Context, r *schedulerv1.PollRequest) (*schedulerv1.PollResponse, error) {
	w, err := s.store.Worker(ctx, r.GetWorkerId())
	if err != nil {
		return nil, err
	}
	if err := s.seen(ctx, w); err != nil {
		return nil, err
	}
	held, err := s.store.Held(ctx, w.ID)
	if err != nil || len(held) > 0 {
		return s.given(held), err
	}
	return s.giveOne(ctx, w)
}

// giveOne assigns the first candidate that can be assigned. A candidate that cannot because of an internal
// error is counted and passed over, so one broken build does not keep the others from the worker.
func (s *Scheduler) giveOne(ctx context.Context, w store.Worker) (*schedulerv1.PollResponse, error) {
	var faulty []store.Build
	defer func() {
		for _, b := range faulty {
			s.deck.putBack(b)
		}
	}()
	for range maxCandidates {
		b, err := s.deck.deal(w, func() ([]store.Build, error) { return s.candidates(ctx, w) })
		if err != nil || b == nil {
			return &schedulerv1.PollResponse{}, err
		}
		held, err := s.take(ctx, w.ID, *b)
		if errors.As(err, new(candidateError)) {
			// One that cannot even be ended is not put back: it is dealt again after takeTime.
			if s.countFault(ctx, w.ID, attemptKey{b.ID, b.Attempt}, fmt.Sprintf("it could not be assigned (%d tries)", maxFaults), err) != faultStuck {
				faulty = append(faulty, *b)
			}
			continue
		}
		if err != nil || held[0].ID != b.ID { // it was not taken: perhaps this worker has asked twice
			s.deck.putBack(*b)
		}
		if errors.Is(err, store.ErrConflict) { // somebody else takes builds, too
			s.deck.shuffle()
			continue
		}
		if err == nil {
			s.wake()
			s.flush(ctx, "poll", b.ID)
		}
		return s.given(held), err
	}
	return &schedulerv1.PollResponse{}, nil
}

func (s *Scheduler) given(held []store.Build) *schedulerv1.PollResponse {
	if len(held) == 0 {
		return &schedulerv1.PollResponse{}
	}
	return &schedulerv1.PollResponse{
		Build: s.viewTTL(held[0]), TimeoutSeconds: int64(s.timeout(held[0]) / time.Second), StageTtlSeconds: s.stageSeconds(held[0].Project),
	}
}

// seen notes that a worker asked, now and then.
func (s *Scheduler) seen(ctx context.Context, w store.Worker) error {
	if w.Online && s.now().Sub(w.SeenAt) < seenEvery {
		return nil
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Worker(ctx, w.ID)
		if err != nil {
			return err
		}
		return s.setOnline(ctx, tx, fresh, true, 0)
	})
}

// candidates are the builds that a worker could take, in dispatch order: those on offer, which were chosen before the others, then
// those that would be chosen next. A higher priority goes before either.
func (s *Scheduler) candidates(ctx context.Context, w store.Worker) ([]store.Build, error) {
	if w.Draining {
		return nil, nil
	}
	can := func(l store.Lane) bool { return w.Can(l.Pool, l.Platform) }
	all, err := s.store.Queued(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(b store.Build) bool { return !can(b.Lane()) })
	now := s.now()
	lanes, err := s.store.PendingLanes(ctx, now)
	if err != nil {
		return nil, err
	}
	rooms := map[store.Lane]int{}
	for _, l := range lanes {
		if can(l) {
			rooms[l] = maxDealt
		}
	}
	var world dispatch.World
	if err := s.readLanes(ctx, &world, now, rooms); err != nil {
		return nil, err
	}
	all = append(all, dispatch.Candidates(world, can, maxDealt)...)
	slices.SortStableFunc(all, func(a, b store.Build) int { return cmp.Compare(b.Priority, a.Priority) })
	return all[:min(len(all), maxDealt)], nil
}

// candidateError is an internal error that concerns the candidate, not the worker or the database as a whole.
type candidateError struct{ error }

func (e candidateError) Unwrap() error { return e.error }

// take returns a build to a worker in one transaction, the worker locked first, so that two polls of one worker give it one
// build. What it holds then is the answer. store.ErrConflict means that the build is not to be had any more; a candidateError
// will come again if nothing changes.
func (s *Scheduler) take(ctx context.Context, workerID string, candidate store.Build) (held []store.Build, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if err != nil {
			return err
		}
		if held, err = tx.Held(ctx, workerID); err != nil || len(held) > 0 {
			return err
		}
		b, err := s.takeCandidate(ctx, tx, w, candidate)
		if err != nil {
			if isFault(err) {
				return candidateError{err}
			}
			return err
		}
		held = []store.Build{b}
		return nil
	})
	return held, err
}

func (s *Scheduler) takeCandidate(ctx context.Context, tx *store.Tx, w store.Worker, candidate store.Build) (store.Build, error) {
	b, err := tx.Build(ctx, candidate.ID)
	if err != nil {
		return b, err
	}
	if !b.State.Waiting() || b.Attempt != candidate.Attempt || w.Draining {
		return b, store.ErrConflict
	}
	if b.State == build.Pending {
		if err := s.withinLimits(ctx, tx, b); err != nil {
			return b, err
		}
		if b, err = s.step(ctx, tx, b, build.Release, func(c *change) error { return c.queue(ctx, candidate) }); err != nil {
			return b, err
		}
	}
	return s.assign(ctx, tx, w, b)
}
