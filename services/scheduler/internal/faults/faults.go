// Package faults ends attempts about which requests fail again and again with internal errors. Without that, a worker would repeat its
// request, or a hand-out would go from worker to worker, for ever.
package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	// Max is how often the claim, stage, finish, offer or assignment of one attempt may fail for a reason that a repeat does not heal.
	// Workers repeat after a pause that grows to 5 s, so that is about 6 s.
	Max = 6
	// maxAttempts bounds the attempts that are counted at once.
	maxAttempts = 10_000
)

// Key names an attempt.
type Key struct {
	BuildID string
	Attempt int32
}

// Counter counts internal errors by attempt. Each replica counts for itself. It is safe for concurrent use.
type Counter struct {
	machine *transition.Machine

	mu sync.Mutex
	of *lru.Cache[Key, int]
}

// New returns a counter that ends attempts by machine.
func New(machine *transition.Machine) (*Counter, error) {
	of, err := lru.New[Key, int](maxAttempts)
	if err != nil {
		return nil, fmt.Errorf("make counter of faults: %w", err)
	}
	return &Counter{machine: machine, of: of}, nil
}

func (c *Counter) add(k Key) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ := c.of.Get(k)
	c.of.Add(k, n+1)
	return n + 1
}

// AttemptRequest is a worker's request about one attempt.
type AttemptRequest interface {
	proto.Message
	GetBuildId() string
	GetAttempt() int32
}

// Bounded wraps a handler of requests: it ends an attempt about which Max of them have failed with an internal error.
func Bounded[Req AttemptRequest, Resp proto.Message](
	c *Counter, what string, handle func(context.Context, string, Req) (Resp, error),
) func(context.Context, string, Req) (Resp, error) {
	return func(ctx context.Context, workerID string, r Req) (Resp, error) {
		resp, err := handle(ctx, workerID, r)
		key := Key{r.GetBuildId(), r.GetAttempt()}
		if err == nil {
			c.of.Remove(key)
			return resp, nil
		}
		why := fmt.Sprintf("its %s could not be recorded (%d tries)", what, Max)
		if !Is(err) || c.Count(ctx, workerID, key, why, err) != Ended {
			return resp, err
		}
		return resp, fmt.Errorf("%w: attempt %d of build %s has ended: %s", build.ErrLeaseLost, key.Attempt, key.BuildID, why)
	}
}

// Is reports whether err is one that a repeat does not heal and that the request did not ask for.
func Is(err error) bool {
	return rpc.Code(err) == build.CodeInternal && !errors.Is(err, store.ErrConflict) && !database.IsTransient(err)
}

// Result is what Count did.
type Result int

const (
	// Counted means that the request may be tried again.
	Counted Result = iota
	// Ended means that the attempt has ended.
	Ended
	// Stuck means that the attempt should have ended, but that failed as well.
	Stuck
)

// Count counts an internal error about an attempt and ends the attempt after Max of them. workerID is empty for an attempt that no
// worker has claimed.
func (c *Counter) Count(ctx context.Context, workerID string, k Key, why string, cause error) Result {
	if c.add(k) < Max {
		return Counted
	}
	log := c.machine.Log.With(slog.String("build_id", k.BuildID), slog.Int("attempt", int(k.Attempt)), slog.String("why", why), slog.Any("err", cause))
	if err := c.lose(ctx, workerID, k, why); err != nil {
		log.ErrorContext(ctx, "end faulty attempt failed", "end_err", err)
		return Stuck
	}
	c.of.Remove(k)
	log.ErrorContext(ctx, "attempt ended after internal errors")
	return Ended
}

// lose ends the attempt, whether the worker holds it, could not claim it, or nobody could be offered it. An attempt that is past is no
// error.
func (c *Counter) lose(ctx context.Context, workerID string, k Key, why string) error {
	_, err := c.machine.Update(ctx, k.BuildID, func(tx *store.Tx, b store.Build) (store.Build, error) {
		if b.HeldBy(workerID, k.Attempt) {
			return c.machine.Lose(ctx, tx, b, why)
		}
		if !b.State.Waiting() || b.Attempt != k.Attempt {
			return b, nil
		}
		err := tx.InsertAttempt(ctx, store.Attempt{
			BuildID: b.ID, Number: b.Attempt, WorkerID: workerID, ClaimedAt: c.machine.Now(), Outcome: store.Running,
		})
		if err != nil {
			return b, err
		}
		return c.machine.Lose(ctx, tx, b, why)
	})
	return err
}
