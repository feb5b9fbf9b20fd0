package scheduler

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	// maxFaults is how often a claim, stage or finish of one attempt may fail for no reason that a repeat could heal. Workers
	// repeat after a pause that grows to 5 s, so that is about 6 s.
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
		if rpc.Code(err) != build.CodeInternal || s.faults.add(key) < maxFaults {
			return resp, err
		}
		why := fmt.Sprintf("its %s could not be recorded (%d tries)", what, maxFaults)
		if lost := s.loseFaulty(ctx, workerID, key, why); lost != nil {
			s.log.ErrorContext(ctx, "faulty attempt not ended", "build_id", key.buildID, "attempt", key.attempt, "err", lost)
			return resp, err
		}
		s.faults.forget(key)
		s.log.ErrorContext(ctx, "attempt ended after internal errors", "build_id", key.buildID, "attempt", key.attempt, "request", what, "err", err)
		return resp, fmt.Errorf("%w: attempt %d of build %s has ended: %s", build.ErrLeaseLost, key.attempt, key.buildID, why)
	}
}

// loseFaulty ends the attempt, whether the worker holds it or could not claim it. An attempt that is past is no error.
func (s *Scheduler) loseFaulty(ctx context.Context, workerID string, k attemptKey, why string) error {
	_, err := s.update(ctx, k.buildID, func(tx *store.Tx, b store.Build) (store.Build, error) {
		if b.HeldBy(workerID, k.attempt) {
			return s.lose(ctx, tx, b, why)
		}
		if b.State != build.Queued || b.Attempt != k.attempt {
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
