package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	// maxFaults is how often the claim, stage, finish, offer or assignment of one attempt may fail for no reason that a repeat
	// could heal. Workers repeat after a pause that grows to 5 s, so that is about 6 s.
	maxFaults = 6
	// maxFaulty bounds the attempts that are counted at once.
	maxFaulty = 10_000
)

// faults counts internal errors by attempt. Each replica counts for itself. It is safe for concurrent use; the zero value is
// ready.
type faults struct {
	mu sync.Mutex
	of map[attemptKey]int
}

type attemptKey struct {
	buildID string
	attempt int32
}

func (f *faults) add(k attemptKey) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || len(f.of) >= maxFaulty {
		f.of = map[attemptKey]int{}
	}
	f.of[k]++
	return f.of[k]
}

func (f *faults) forget(k attemptKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, k)
}

// aboutAttempt is a worker's request about one attempt.
type aboutAttempt interface {
	proto.Message
	GetBuildId() string
	GetAttempt() int32
}

// bounded ends an attempt about which a request has failed maxFaults times with an internal error. Without that the worker
// would repeat its request, or the hand-out would go from worker to worker, for ever.
func bounded[Req aboutAttempt, Resp proto.Message](
	s *Scheduler, what string, handle func(context.Context, string, Req) (Resp, error),
) func(context.Context, string, Req) (Resp, error) {
	return func(ctx context.Context, workerID string, r Req) (Resp, error) {
		resp, err := handle(ctx, workerID, r)
		key := attemptKey{r.GetBuildId(), r.GetAttempt()}
		if err == nil {
			s.faults.forget(key)
			return resp, nil
		}
		why := fmt.Sprintf("its %s could not be recorded (%d tries)", what, maxFaults)
		if !isFault(err) || s.countFault(ctx, workerID, key, why, err) != faultEnded {
			return resp, err
		}
		return resp, fmt.Errorf("%w: attempt %d of build %s has ended: %s", build.ErrLeaseLost, key.attempt, key.buildID, why)
	}
}

// isFault says whether err is one that a repeat does not heal and that nobody asked for.
func isFault(err error) bool {
	return rpc.Code(err) == build.CodeInternal && !errors.Is(err, store.ErrConflict) && !database.IsTransient(err)
}

// faultResult is what countFault did.
type faultResult int

const (
	// faultCounted means that the request may be tried again.
	faultCounted faultResult = iota
	// faultEnded means that the attempt has ended.
	faultEnded
	// faultStuck means that the attempt should have ended, but that failed as well.
	faultStuck
)

// countFault counts an internal error about an attempt and ends the attempt after maxFaults of them. The
// worker is empty for an attempt that nobody asked for yet.
func (s *Scheduler) countFault(ctx context.Context, workerID string, k attemptKey, why string, cause error) faultResult {
	if s.faults.add(k) < maxFaults {
		return faultCounted
	}
	log := s.log.With("build_id", k.buildID, "attempt", k.attempt, "why", why, "err", cause)
	if err := s.loseFaulty(ctx, workerID, k, why); err != nil {
		log.ErrorContext(ctx, "faulty attempt not ended", "end_err", err)
		return faultStuck
	}
	s.faults.forget(k)
	log.ErrorContext(ctx, "attempt ended after internal errors")
	return faultEnded
}

// loseFaulty ends the attempt, whether the worker holds it, could not claim it, or nobody could be offered it. An attempt that
// is past is no error.
func (s *Scheduler) loseFaulty(ctx context.Context, workerID string, k attemptKey, why string) error {
	_, err := s.update(ctx, k.buildID, func(tx *store.Tx, b store.Build) (store.Build, error) {
		if b.HeldBy(workerID, k.attempt) {
			return s.lose(ctx, tx, b, why)
		}
		if !b.State.Waiting() || b.Attempt != k.attempt {
			return b, nil
		}
		err := tx.InsertAttempt(ctx, store.Attempt{
			BuildID: b.ID, Number: b.Attempt, WorkerID: workerID, ClaimedAt: s.now(), Outcome: store.Running,
		})
		if err != nil {
			return b, err
		}
		return s.lose(ctx, tx, b, why)
	})
	return err
}
