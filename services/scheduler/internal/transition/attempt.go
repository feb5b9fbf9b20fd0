package transition

import (
	"context"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Release makes a pending build claimable, with the tags that the dispatch rule gave to chosen.
func (m *Machine) Release(ctx context.Context, tx *store.Tx, b, chosen store.Build) (store.Build, error) {
	return m.step(ctx, tx, b, build.Release, func(c *Change) error { return c.release(ctx, chosen) })
}

// Offer is Release with a hand-out on BUILD_QUEUE.
func (m *Machine) Offer(ctx context.Context, tx *store.Tx, b, chosen store.Build) (store.Build, error) {
	return m.step(ctx, tx, b, build.Release, func(c *Change) error {
		handOut, err := HandOut(ctx, c.now, c.at)
		if err != nil {
			return err
		}
		if b.Offers > 0 { // offered before and withdrawn: the stream would drop a second message of the same id
			handOut = handOut.WithID(handOut.ID + "." + build.NewID())
		}
		c.Add(handOut)
		c.now.OfferedAt, c.now.Offers = c.at, 1
		return c.release(ctx, chosen)
	})
}

func (c *Change) release(ctx context.Context, chosen store.Build) error {
	c.now.QueuedAt = c.at
	c.now.VStart, c.now.VFinish = chosen.VStart, chosen.VFinish
	return c.Emit(ctx, bus.Queued, &eventsv1.BuildQueued{
		BuildId: c.now.ID, Attempt: c.now.Attempt, Pool: c.now.Pool, Platform: string(c.now.Platform), QueuedAtMs: c.at.UnixMilli(),
	})
}

// Withdraw takes back a build that is on offer.
func (m *Machine) Withdraw(ctx context.Context, tx *store.Tx, b store.Build) (store.Build, error) {
	return m.step(ctx, tx, b, build.Withdraw, func(c *Change) error {
		c.now.QueuedAt, c.now.OfferedAt = time.Time{}, time.Time{}
		return nil
	})
}

// Assign gives the attempt to a worker. ttl is the heartbeat timeout of its first stage; why this worker was chosen is for the log, and may be
// empty.
func (m *Machine) Assign(ctx context.Context, tx *store.Tx, w store.Worker, b store.Build, ttl time.Duration, why string) (store.Build, error) {
	return m.step(ctx, tx, b, build.Claim, func(c *Change) error {
		c.now.WorkerID, c.now.AssignedAt, c.now.Stage, c.now.StageAt = w.ID, c.at, "", time.Time{}
		c.now.Timeout, c.now.StageTTL = 0, 0 // what the last attempt's plan said
		err := tx.InsertAttempt(ctx, store.Attempt{
			BuildID: b.ID, Number: b.Attempt, WorkerID: w.ID, WorkerName: w.Name, ClaimedAt: c.at, Outcome: store.Running,
		})
		if err != nil {
			return err
		}
		if err := c.Emit(ctx, bus.Assigned, &eventsv1.BuildAssigned{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: w.ID, AssignedAtMs: c.at.UnixMilli(),
			Project: b.Project, SubmittedAtMs: b.SubmittedAt.UnixMilli(), TtlSeconds: seconds(ttl),
		}); err != nil {
			return err
		}
		return c.Log(ctx, "info", "Assigned to worker "+w.Name+why)
	})
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }

// Stage is a stage that an attempt enters.
type Stage struct {
	Name string
	// Timeout of the build and OwnTTL of the stage are what the build's profile asks for; 0 if nothing.
	Timeout, OwnTTL time.Duration
	// TTL is the heartbeat timeout that applies.
	TTL time.Duration
}

// EnterStage records that the holder entered a stage; the first one starts the build.
func (m *Machine) EnterStage(ctx context.Context, tx *store.Tx, b store.Build, st Stage) (store.Build, error) {
	return m.step(ctx, tx, b, build.Start, func(c *Change) error {
		c.now.Timeout, c.now.StageTTL, c.now.Stage, c.now.StageAt = st.Timeout, st.OwnTTL, st.Name, c.at
		if b.State == build.Assigned {
			c.now.StartedAt = c.at
			if err := tx.SaveAttempt(ctx, c.now, store.Running, 0, ""); err != nil {
				return err
			}
			if err := c.Emit(ctx, bus.Started, &eventsv1.BuildStarted{
				BuildId: b.ID, Attempt: b.Attempt, WorkerId: b.WorkerID, StartedAtMs: c.at.UnixMilli(),
			}); err != nil {
				return err
			}
		}
		return c.Emit(ctx, bus.Stage, &eventsv1.BuildStageChanged{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: b.WorkerID, Stage: st.Name, AtMs: c.at.UnixMilli(),
			Project: b.Project, TtlSeconds: seconds(st.TTL), EndedStage: b.Stage, EndedStageAtMs: store.Millis(b.StageAt),
		})
	})
}
