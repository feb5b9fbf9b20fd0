package scheduler

import (
	"context"
	"fmt"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Claim returns a worker the lease of an attempt that was handed to it. A repeat by the holder is answered like the first.
func (s *Scheduler) Claim(ctx context.Context, workerID string, r *schedulerv1.ClaimRequest) (*schedulerv1.ClaimResponse, error) {
	b, err := s.claim(ctx, workerID, r.GetBuildId(), r.GetAttempt())
	if err != nil {
		return nil, err
	}
	s.flush(ctx, "claim", b.ID)
	return &schedulerv1.ClaimResponse{
		Build: view(b), TimeoutSeconds: int64(s.timeout(b) / time.Second), StageTtlSeconds: s.stageSeconds(b.Project),
		MaxTimeoutSeconds: int64(s.cfg.MaxBuildTimeout / time.Second), MaxStageTtlSeconds: int32(s.cfg.MaxStageTTL / time.Second),
	}, nil
}

// stageSeconds is the silence forgiven to a project's builds by stage.
func (s *Scheduler) stageSeconds(project string) map[string]int32 {
	ttls := make(map[string]int32, len(s.cfg.StageTTLs))
	for _, some := range []map[build.Stage]time.Duration{s.cfg.StageTTLs, s.timeouts.of(project).StageTTLs} {
		for stage, d := range some {
			ttls[string(stage)] = int32(d / time.Second)
		}
	}
	return ttls
}

// claim locks the worker before the build, so that one worker's claims come one after the other and its slots hold.
func (s *Scheduler) claim(ctx context.Context, workerID, buildID string, attempt int32) (b store.Build, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if err != nil {
			return err
		}
		if b, err = tx.Build(ctx, buildID); err != nil {
			return err
		}
		if b.HeldBy(workerID, attempt) {
			return nil
		}
		if err := s.eligible(ctx, tx, w, b, attempt); err != nil {
			return err
		}
		b, err = s.assign(ctx, tx, w, b)
		return err
	})
	return b, err
}

// eligible refuses for the build's reasons first: those end the hand-out, the worker's only send it elsewhere.
func (s *Scheduler) eligible(ctx context.Context, tx *store.Tx, w store.Worker, b store.Build, attempt int32) error {
	if _, err := build.Next(b.State, build.Claim); err != nil {
		return err
	}
	if b.Attempt != attempt {
		return fmt.Errorf("%w: attempt %d of %s is past", build.ErrNotQueued, attempt, b.ID)
	}
	if w.Draining || !w.Can(b.Pool, b.Platform) {
		return fmt.Errorf("%w: %s builds %v in pool %s", build.ErrNotEligible, w.Name, w.Platforms, w.Pool)
	}
	held, err := tx.Held(ctx, w.ID)
	if err != nil {
		return err
	}
	if len(held) >= int(w.Slots) {
		return fmt.Errorf("%w: %s holds %d of %d", build.ErrNoSlot, w.Name, len(held), w.Slots)
	}
	return nil
}

func (s *Scheduler) assign(ctx context.Context, tx *store.Tx, w store.Worker, b store.Build) (store.Build, error) {
	return s.step(ctx, tx, b, build.Claim, func(c *change) error {
		c.now.WorkerID, c.now.AssignedAt, c.now.Stage, c.now.StageAt = w.ID, c.at, "", time.Time{}
		c.now.Timeout, c.now.StageTTL = 0, 0 // the last attempt's plan may not be this one's
		err := tx.InsertAttempt(ctx, store.Attempt{
			BuildID: b.ID, Number: b.Attempt, WorkerID: w.ID, WorkerName: w.Name, ClaimedAt: c.at, Outcome: store.Running,
		})
		if err != nil {
			return err
		}
		if err := c.tell(ctx, bus.Assigned, &eventsv1.BuildAssigned{
			BuildId: b.ID, Attempt: b.Attempt, WorkerId: w.ID, AssignedAtMs: c.at.UnixMilli(),
			Project: b.Project, SubmittedAtMs: b.SubmittedAt.UnixMilli(), TtlSeconds: int32(s.ttl(b, string(build.StagePrepare)) / time.Second),
		}); err != nil {
			return err
		}
		return c.say(ctx, "info", "Assigned to worker "+w.Name)
	})
}

// Stage records that the holder entered a stage; the first one starts the build.
func (s *Scheduler) Stage(ctx context.Context, workerID string, r *schedulerv1.StageRequest) (*schedulerv1.StageResponse, error) {
	if r.GetStage() == "" || len(r.GetStage()) > 64 || r.GetTimeoutSeconds() < 0 || r.GetTtlSeconds() < 0 {
		return nil, fmt.Errorf("%w: stage %.80q, timeout %d s, TTL %d s", build.ErrInvalid, r.GetStage(), r.GetTimeoutSeconds(), r.GetTtlSeconds())
	}
	_, err := s.update(ctx, r.GetBuildId(), func(tx *store.Tx, b store.Build) (store.Build, error) {
		if !b.HeldBy(workerID, r.GetAttempt()) {
			return b, leaseLost(b, r.GetAttempt())
		}
		if b.State == build.Building && b.Stage == r.GetStage() {
			return b, nil // told before; its answer was lost
		}
		return s.step(ctx, tx, b, build.Start, func(c *change) error {
			c.now.Timeout = min(time.Duration(r.GetTimeoutSeconds())*time.Second, s.cfg.MaxBuildTimeout)
			c.now.StageTTL = min(time.Duration(r.GetTtlSeconds())*time.Second, s.cfg.MaxStageTTL)
			c.now.Stage, c.now.StageAt = r.GetStage(), c.at
			return c.enter(ctx, tx, s.ttl(c.now, r.GetStage()))
		})
	})
	if err != nil {
		return nil, err
	}
	return &schedulerv1.StageResponse{}, nil
}

func (c *change) enter(ctx context.Context, tx *store.Tx, ttl time.Duration) error {
	if c.was.State == build.Assigned {
		c.now.StartedAt = c.at
		if err := tx.SaveAttempt(ctx, c.now, store.Running, 0, ""); err != nil {
			return err
		}
		if err := c.tell(ctx, bus.Started, &eventsv1.BuildStarted{
			BuildId: c.now.ID, Attempt: c.now.Attempt, WorkerId: c.now.WorkerID, StartedAtMs: c.at.UnixMilli(),
		}); err != nil {
			return err
		}
	}
	return c.tell(ctx, bus.Stage, &eventsv1.BuildStageChanged{
		BuildId: c.now.ID, Attempt: c.now.Attempt, WorkerId: c.now.WorkerID, Stage: c.now.Stage, AtMs: c.at.UnixMilli(),
		Project: c.now.Project, TtlSeconds: int32(ttl / time.Second), EndedStage: c.was.Stage, EndedStageAtMs: ms(c.was.StageAt),
	})
}

// CheckLease says whether the worker holds the attempt now: build.ErrLeaseLost if not.
func (s *Scheduler) CheckLease(ctx context.Context, r *schedulerv1.CheckLeaseRequest) (*schedulerv1.CheckLeaseResponse, error) {
	b, err := s.store.Build(ctx, r.GetBuildId())
	if err != nil {
		return nil, err
	}
	if !b.HeldBy(r.GetWorkerId(), r.GetAttempt()) {
		return nil, leaseLost(b, r.GetAttempt())
	}
	return &schedulerv1.CheckLeaseResponse{Build: view(b)}, nil
}

func leaseLost(b store.Build, attempt int32) error {
	return fmt.Errorf("%w: attempt %d of build %s (it is %s, attempt %d)", build.ErrLeaseLost, attempt, b.ID, b.State, b.Attempt)
}
