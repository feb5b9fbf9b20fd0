package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// reportWait is how long a build waits for the scheduler to hear of a stage before it goes on: a scheduler that restarts
// must not stand in the way of work.
const reportWait = 2 * time.Second

// reporter tells the scheduler which stage an attempt is in. Only the latest counts: one that could not be told before the
// next began is left out.
type reporter struct {
	worker *Worker
	lease  lease
	// lost is called when the scheduler says that the lease is not ours, stop when it refuses the stage for good.
	lost, stop func(error)
	log        *slog.Logger

	mu    sync.Mutex
	stage string
	// ttl of the stage and timeout of the build are those of the build's own profile, 0 if it has none.
	ttl, timeout time.Duration
	told         chan struct{}
	woken        chan struct{}
}

func newReporter(w *Worker, l lease, lost, stop func(error), log *slog.Logger) *reporter {
	return &reporter{worker: w, lease: l, lost: lost, stop: stop, log: log, woken: make(chan struct{}, 1)}
}

// enter reports a stage and waits a little until that is heard.
func (r *reporter) enter(ctx context.Context, stage string, ttl time.Duration) {
	told := make(chan struct{})
	r.mu.Lock()
	r.stage, r.ttl, r.told = stage, ttl, told
	r.mu.Unlock()
	select {
	case r.woken <- struct{}{}:
	default:
	}
	t := time.NewTimer(reportWait)
	defer t.Stop()
	select {
	case <-told:
	case <-t.C:
	case <-ctx.Done():
	}
}

// asked has the timeout of the build's profile told with the next stage.
func (r *reporter) asked(timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timeout = timeout
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case <-r.woken:
		case <-ctx.Done():
			return
		}
		var refused refusals
		for wait := 100 * time.Millisecond; !r.report(ctx, &refused); wait = min(2*wait, 5*time.Second) {
			if !pause(ctx, wait) {
				return
			}
		}
	}
}

// report tells the latest stage; false if it was not heard.
func (r *reporter) report(ctx context.Context, refused *refusals) bool {
	r.mu.Lock()
	stage, ttl, timeout, told := r.stage, r.ttl, r.timeout, r.told
	r.mu.Unlock()
	if told == nil {
		return true // told together with the one before: the wake-up came while that was on its way
	}
	c := r.worker.link.get()
	_, err := r.worker.scheduler().Stage(ctx, &schedulerv1.StageRequest{
		WorkerId: c.id, BuildId: r.lease.build, Attempt: r.lease.attempt, Stage: stage,
		TtlSeconds: int32(ttl / time.Second), TimeoutSeconds: int64(timeout / time.Second),
	})
	switch {
	case err == nil:
	case gone(err):
		r.lost(errLeaseLost)
	case refused.final(err):
		r.stop(&refusedError{what: "stage " + stage, err: err})
	default:
		if ctx.Err() == nil {
			r.log.WarnContext(ctx, "stage not reported yet", "stage", stage, "err", err)
		}
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == told {
		close(told)
		r.told = nil
		return true
	}
	return false // another stage began meanwhile: tell that one
}
