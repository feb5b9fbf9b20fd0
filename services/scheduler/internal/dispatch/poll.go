package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/faults"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/order"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// maxCandidates bounds how many builds a poll tries to claim when others are quicker.
	maxCandidates = 16
	// maxFound is how many candidates are found at once, for workers that poll at the same time.
	maxFound = 128
)

// Poll returns the build of a worker that has no connection to the bus: the one that it holds already, since the response that said so
// may be lost, else the first that it can build. It returns build.ErrWorkerUnknown if the worker is not registered.
func (d *Dispatcher) Poll(ctx context.Context, r *schedulerv1.PollRequest) (*schedulerv1.PollResponse, error) {
	w, err := d.machine.Store.Worker(ctx, r.GetWorkerId())
	if err != nil {
		return nil, err
	}
	if err := d.registry.Seen(ctx, w); err != nil {
		return nil, err
	}
	held, err := d.machine.Store.Held(ctx, w.ID)
	if err != nil || len(held) > 0 {
		return d.response(held), err
	}
	return d.assignOne(ctx, w)
}

// assignOne assigns the first candidate that can be assigned. A candidate that cannot because of an internal
// error is counted and passed over, so one broken build does not keep the others from the worker.
func (d *Dispatcher) assignOne(ctx context.Context, w store.Worker) (*schedulerv1.PollResponse, error) {
	var faulty []store.Build
	defer func() {
		for _, b := range faulty {
			d.polls.Forget(b)
		}
	}()
	for range maxCandidates {
		b, err := d.polls.Next(w, func() ([]store.Build, error) { return d.candidates(ctx, w) })
		if err != nil || b == nil {
			return &schedulerv1.PollResponse{}, err
		}
		held, err := d.claim(ctx, w.ID, *b)
		if errors.As(err, new(candidateError)) {
			// One that cannot even be ended is not forgotten: it is returned again after claimTime.
			if d.faults.Count(ctx, w.ID, faults.Key{BuildID: b.ID, Attempt: b.Attempt}, fmt.Sprintf("it could not be assigned (%d tries)", faults.Max), err) != faults.Stuck {
				faulty = append(faulty, *b)
			}
			continue
		}
		if err != nil || held[0].ID != b.ID { // it was not claimed: perhaps this worker has polled twice
			d.polls.Forget(*b)
		}
		if errors.Is(err, store.ErrConflict) { // somebody else claims builds, too
			d.machine.Signal.Invalidate()
			continue
		}
		if err == nil {
			d.machine.Signal.Changed()
			d.machine.Flush(ctx, "poll", b.ID)
		}
		return d.response(held), err
	}
	return &schedulerv1.PollResponse{}, nil
}

func (d *Dispatcher) response(held []store.Build) *schedulerv1.PollResponse {
	if len(held) == 0 {
		return &schedulerv1.PollResponse{}
	}
	return &schedulerv1.PollResponse{
		Build: d.rules.ViewBuild(held[0]), TimeoutSeconds: int64(d.rules.Timeout(held[0]) / time.Second), StageTtlSeconds: d.rules.StageSeconds(held[0].Project),
	}
}

// candidates returns the builds that a worker could claim, in dispatch order: those on offer, which were chosen before the others, then
// those that would be chosen next. A higher priority goes before either.
func (d *Dispatcher) candidates(ctx context.Context, w store.Worker) ([]store.Build, error) {
	if w.Draining {
		return nil, nil
	}
	can := w.CanBuild
	all, err := d.machine.Store.Queued(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(b store.Build) bool { return !can(b.Lane()) })
	now := d.machine.Now()
	lanes, err := d.machine.Store.PendingLanes(ctx, now)
	if err != nil {
		return nil, err
	}
	rooms := map[store.Lane]int{}
	for _, l := range lanes {
		if can(l) {
			rooms[l] = maxFound
		}
	}
	var world order.World
	if err := d.readLanes(ctx, &world, now, rooms); err != nil {
		return nil, err
	}
	all = append(all, order.Candidates(world, can, maxFound)...)
	slices.SortStableFunc(all, func(a, b store.Build) int { return cmp.Compare(b.Priority, a.Priority) })
	return all[:min(len(all), maxFound)], nil
}

// candidateError is an internal error that concerns the candidate, not the worker or the database as a whole.
type candidateError struct{ error }

func (e candidateError) Unwrap() error { return e.error }

// claim assigns the candidate to a worker and returns what the worker holds then. It locks the worker first, so that two polls of one
// worker give it one build. store.ErrConflict means that the build cannot be had any more; a candidateError comes again if nothing
// changes.
func (d *Dispatcher) claim(ctx context.Context, workerID string, candidate store.Build) (held []store.Build, err error) {
	err = d.machine.Store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if err != nil {
			return err
		}
		if held, err = tx.Held(ctx, workerID); err != nil || len(held) > 0 {
			return err
		}
		b, err := d.claimCandidate(ctx, tx, w, candidate)
		if err != nil {
			if faults.Is(err) {
				return candidateError{err}
			}
			return err
		}
		held = []store.Build{b}
		return nil
	})
	return held, err
}

func (d *Dispatcher) claimCandidate(ctx context.Context, tx *store.Tx, w store.Worker, candidate store.Build) (store.Build, error) {
	b, err := tx.Build(ctx, candidate.ID)
	if err != nil {
		return b, err
	}
	if !b.State.Waiting() || b.Attempt != candidate.Attempt || w.Draining || !w.CanBuild(b.Lane()) {
		return b, store.ErrConflict
	}
	if b.State == build.Pending {
		if err := d.rules.WithinLimits(ctx, tx, b); err != nil {
			return b, err
		}
		if b, err = d.machine.Release(ctx, tx, b, candidate); err != nil {
			return b, err
		}
	}
	return d.machine.Assign(ctx, tx, w, b, d.rules.TTL(b, string(build.StagePrepare)), "")
}
