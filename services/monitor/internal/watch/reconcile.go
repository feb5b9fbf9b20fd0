package watch

import (
	"context"
	"fmt"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// reconcileLoop watches the scheduler's leases at start, after a reconnection and every Config.ReconcileEvery, so that lost events leave
// no lease unwatched.
func (w *Watcher) reconcileLoop(ctx context.Context) error {
	for {
		wait := w.cfg.ReconcileEvery
		if err := w.reconcile(ctx); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "reconcile leases failed", "err", err)
			wait = min(wait, 5*time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.reconnected:
		case <-time.After(wait):
		}
	}
}

func (w *Watcher) reconcile(ctx context.Context) error {
	watched, err := w.leases.All(ctx)
	if err != nil {
		return err
	}
	attempts := map[string]int32{}
	for _, l := range watched {
		attempts[l.BuildID] = l.Attempt
	}
	live, err := w.liveBuilds(ctx)
	if err != nil {
		return err
	}
	for id, b := range live {
		if attempts[id] == b.GetAttempt() {
			continue
		}
		err := w.watch(ctx, store.Lease{
			BuildID: id, Attempt: b.GetAttempt(), WorkerID: b.GetWorkerId(), Stage: stageOf(b), Project: b.GetProject(),
			TTL: seconds(b.GetStageTtlSeconds()),
		})
		if err != nil {
			return err
		}
	}
	// A watched lease that is not live needs nothing: its event is on the way, or its verdict changes nothing.
	return nil
}

func stageOf(b *schedulerv1.Build) string {
	if b.GetStage() == "" {
		return string(build.StagePrepare)
	}
	return b.GetStage()
}

// liveBuilds asks the scheduler which builds are leased.
func (w *Watcher) liveBuilds(ctx context.Context) (map[string]*schedulerv1.Build, error) {
	live, scheduler := map[string]*schedulerv1.Build{}, schedulerv1.NewSchedulerServiceClient(rpc.Client{Conn: w.nc})
	req := &schedulerv1.ListRequest{States: []string{string(build.Assigned), string(build.Building)}}
	for {
		page, err := scheduler.List(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("ask for the leases: %w", err)
		}
		for _, b := range page.GetBuilds() {
			live[b.GetId()] = b
		}
		if req.BeforeSeq = page.GetNextBeforeSeq(); req.GetBeforeSeq() == 0 {
			return live, nil
		}
	}
}
