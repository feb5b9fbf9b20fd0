package monitor

import (
	"context"
	"fmt"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// reconcileLoop makes what is watched agree with the scheduler's leases at start, after a reconnection, and now and then:
// events older than their stream, or lost with it, leave no lease unwatched.
func (m *Monitor) reconcileLoop(ctx context.Context) error {
	for {
		wait := m.cfg.ReconcileEvery
		if err := m.reconcile(ctx); err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "leases not reconciled, trying again soon", "err", err)
			wait = min(wait, 5*time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.back:
		case <-time.After(wait):
		}
	}
}

func (m *Monitor) reconcile(ctx context.Context) error {
	watched, err := m.store.Leases(ctx)
	if err != nil {
		return err
	}
	attempts := map[string]int32{}
	for _, l := range watched {
		attempts[l.BuildID] = l.Attempt
	}
	live, err := m.liveBuilds(ctx)
	if err != nil {
		return err
	}
	for id, b := range live {
		if attempts[id] == b.GetAttempt() {
			continue
		}
		err := m.watch(ctx, store.Lease{
			BuildID: id, Attempt: b.GetAttempt(), WorkerID: b.GetWorkerId(), Stage: stageOf(b), Project: b.GetProject(),
			TTL: seconds(b.GetStageTtlSeconds()),
		})
		if err != nil {
			return err
		}
	}
	// A lease that is watched and not live ends by itself: its event is on the way, or its verdict changes nothing.
	return nil
}

func stageOf(b *schedulerv1.Build) string {
	if b.GetStage() == "" {
		return string(build.StagePrepare)
	}
	return b.GetStage()
}

// liveBuilds asks the owner which builds are leased.
func (m *Monitor) liveBuilds(ctx context.Context) (map[string]*schedulerv1.Build, error) {
	live, scheduler := map[string]*schedulerv1.Build{}, schedulerv1.NewSchedulerServiceClient(rpc.Client{Conn: m.nc})
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
