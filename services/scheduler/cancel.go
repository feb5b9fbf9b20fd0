package scheduler

import (
	"context"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Cancel ends a build that nobody wants any more and tells its worker at once. Of a cancelled build it is answered again
// like the first time; another final state is build.ErrFinished.
func (s *Scheduler) Cancel(ctx context.Context, r *schedulerv1.CancelRequest) (*schedulerv1.CancelResponse, error) {
	var holder string
	b, err := s.update(ctx, r.GetBuildId(), func(tx *store.Tx, b store.Build) (store.Build, error) {
		holder = ""
		if b.State.Leased() {
			holder = b.WorkerID
		}
		return s.cancel(ctx, tx, b, sentence(r.GetReason(), "Build cancelled by user"))
	})
	if err != nil {
		return nil, err
	}
	s.order(ctx, holder, b, "the build was cancelled")
	s.flush(ctx, "cancel", b.ID)
	return &schedulerv1.CancelResponse{Build: view(b)}, nil
}

func (s *Scheduler) cancel(ctx context.Context, tx *store.Tx, b store.Build, why string) (store.Build, error) {
	return s.step(ctx, tx, b, build.Cancel, func(c *change) error {
		c.now.Error, c.now.FinishedAt = why, c.at
		if c.was.State.Leased() {
			if err := tx.SaveAttempt(ctx, c.now, store.Cancelled, c.at.UnixMilli(), why); err != nil {
				return err
			}
		}
		if err := c.tell(ctx, bus.Cancelled, &eventsv1.BuildCancelled{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: b.WorkerID, FinishedAtMs: c.at.UnixMilli(),
			Life: life(b),
		}); err != nil {
			return err
		}
		return c.say(ctx, "info", "Build cancelled")
	})
}

// order tells a worker over core NATS that it holds the attempt no longer: the quick way. A worker that is away hears it
// from its next sync, and whatever it asks meanwhile is refused by the lease.
func (s *Scheduler) order(ctx context.Context, workerID string, b store.Build, why string) {
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
		s.log.WarnContext(ctx, "worker not told that its build ended", "worker_id", workerID, "build_id", b.ID, "err", err)
	}
}
