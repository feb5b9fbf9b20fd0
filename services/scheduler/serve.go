package scheduler

import (
	"context"
	"errors"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/faults"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/numbers"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/registry"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/repack"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/reuse"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/rules"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// requests implements schedulerv1.SchedulerServiceServer: each room answers its own.
type requests struct {
	*Scheduler
	queries
	*dispatch.Dispatcher
	*registry.Registry
	*rules.Rules
	*numbers.Numbers
	*reuse.Reuses
	*repack.Repacks
	retentionRequests
}

// retentionRequests gives the service a name of its own among the embedded ones.
type retentionRequests struct{ *retention.Service }

func (s *Scheduler) requests() requests {
	return requests{s, queries{s}, s.dispatch, s.registry, s.rules, numbers.New(s.store, s.now, s.log), reuse.New(s.machine, s.cfg.TrustedBranches, s.dispatch.Require), repack.New(s.store, s.cfg.TrustedBranches), retentionRequests{s.retention}}
}

// legacyServer is a Scheduler that is built with legacy.go.
type legacyServer interface{ serveLegacy(natsrpc.Registrar) error }

// serve answers every request that the scheduler knows.
func (s *Scheduler) serve(svc *rpc.Service) error {
	err := errors.Join(
		schedulerv1.RegisterSchedulerServiceServer(svc, s.requests()),
		schedulerv1.RegisterSchedulerWorkerServiceServer(svc, workerRequests{s, s.registry}),
	)
	if l, ok := any(s).(legacyServer); ok {
		err = errors.Join(err, l.serveLegacy(svc))
	}
	return err
}

// workerRequests implements schedulerv1.SchedulerWorkerServiceServer: an attempt ends after bounded internal errors of its requests.
type workerRequests struct {
	s *Scheduler
	*registry.Registry
}

// Claim implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Claim(ctx context.Context, workerID string, req *schedulerv1.ClaimRequest) (*schedulerv1.ClaimResponse, error) {
	return faults.Bounded(r.s.faults, "claim", r.s.Claim)(ctx, workerID, req)
}

// Stage implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Stage(ctx context.Context, workerID string, req *schedulerv1.StageRequest) (*schedulerv1.StageResponse, error) {
	return faults.Bounded(r.s.faults, "stage", r.s.Stage)(ctx, workerID, req)
}

// Finish implements schedulerv1.SchedulerWorkerServiceServer.
func (r workerRequests) Finish(ctx context.Context, workerID string, req *schedulerv1.FinishRequest) (*schedulerv1.FinishResponse, error) {
	return faults.Bounded(r.s.faults, "outcome", r.s.Finish)(ctx, workerID, req)
}
