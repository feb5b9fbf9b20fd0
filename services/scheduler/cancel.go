package scheduler

import (
	"context"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Cancel ends a build that nobody wants any more and tells its worker at once. A repeat gets the same response; a build that ended
// otherwise gets build.ErrFinished.
func (s *Scheduler) Cancel(ctx context.Context, r *schedulerv1.CancelRequest) (*schedulerv1.CancelResponse, error) {
	var holder string
	b, err := s.machine.Update(ctx, r.GetBuildId(), func(tx *store.Tx, b store.Build) (store.Build, error) {
		holder = ""
		if b.State.Leased() {
			holder = b.WorkerID
		}
		return s.machine.Cancel(ctx, tx, b, sentence(r.GetReason(), "Build cancelled by user"))
	})
	if err != nil {
		return nil, err
	}
	s.stopWorker(ctx, holder, b, "the build was cancelled")
	s.machine.Flush(ctx, "cancel", b.ID)
	return &schedulerv1.CancelResponse{Build: view.Build(b)}, nil
}

// stopWorker tells a worker over core NATS that it no longer holds the attempt. A worker that is away learns it from its next sync, and
// its requests are refused meanwhile.
func (s *Scheduler) stopWorker(ctx context.Context, workerID string, b store.Build, why string) {
	if workerID == "" {
		return
	}
	data, err := proto.Marshal(&eventsv1.Control{Order: &eventsv1.Control_Cancel{
		Cancel: &eventsv1.CancelBuild{BuildId: b.ID, Attempt: b.Attempt, Reason: why},
	}})
	if err == nil {
		err = s.nc.Publish(bus.ControlSubject(workerID), data)
	}
	if err != nil {
		s.log.WarnContext(ctx, "notify worker of ended build failed", "worker_id", workerID, "build_id", b.ID, "err", err)
	}
}
