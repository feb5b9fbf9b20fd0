package scheduler

import (
	"context"
	"fmt"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/repack"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Claim gives a worker the lease of an attempt that was handed to it. A repeat by the holder gets the same response.
func (s *Scheduler) Claim(ctx context.Context, workerID string, r *schedulerv1.ClaimRequest) (*schedulerv1.ClaimResponse, error) {
	b, err := s.claim(ctx, workerID, r)
	if err != nil {
		return nil, err
	}
	s.dispatch.Claimed(b)
	s.machine.Flush(ctx, "claim", b.ID)
	source, err := repack.SourceOf(ctx, s.store, b)
	if err != nil { // the worker repeats its claim
		return nil, err
	}
	return &schedulerv1.ClaimResponse{
		Build: view.Build(b), TimeoutSeconds: int64(s.rules.Timeout(b) / time.Second), StageTtlSeconds: s.rules.StageSeconds(b.Project),
		MaxTimeoutSeconds: int64(s.cfg.MaxBuildTimeout / time.Second), MaxStageTtlSeconds: int32(s.cfg.MaxStageTTL / time.Second),
		Repack: source,
	}, nil
}

// claim locks the worker before the build, so that one worker's claims come one after the other and its slots hold.
func (s *Scheduler) claim(ctx context.Context, workerID string, r *schedulerv1.ClaimRequest) (b store.Build, err error) {
	attempt := r.GetAttempt()
	var tags store.Build
	if r.GetOffered() {
		if tags, err = s.store.Build(ctx, r.GetBuildId()); err != nil {
			return b, err
		}
		if tags, err = s.dispatch.Tagged(ctx, tags); err != nil {
			return b, err
		}
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if err != nil {
			return err
		}
		if b, err = tx.Build(ctx, r.GetBuildId()); err != nil {
			return err
		}
		if b.HeldBy(workerID, attempt) {
			return nil
		}
		why := ""
		if r.GetOffered() && b.State == build.Pending && b.Attempt == attempt {
			why = whyOffered(b)
			if b, err = s.dispatch.ReleaseOffered(ctx, tx, b, tags); err != nil {
				return err
			}
		}
		if err := s.eligible(ctx, tx, w, b, attempt); err != nil {
			return err
		}
		b, err = s.machine.Assign(ctx, tx, w, b, s.rules.TTL(b, string(build.StagePrepare)), why)
		return err
	})
	return b, err
}

// whyOffered says why a build was offered to a certain worker.
func whyOffered(b store.Build) string {
	if r := b.Settings.Requires; r != "" {
		return ", which has " + r.String()
	}
	return ", which built this project last"
}

// eligible checks the build's reasons first: those end the hand-out, the worker's only send it elsewhere.
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
	if !w.CanBuild(b.Lane()) {
		return fmt.Errorf("%w: build %s requires %s", build.ErrNotEligible, b.ID, b.Settings.Requires)
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

// Stage records that the holder entered a stage; the first one starts the build.
func (s *Scheduler) Stage(ctx context.Context, workerID string, r *schedulerv1.StageRequest) (*schedulerv1.StageResponse, error) {
	if r.GetStage() == "" || len(r.GetStage()) > 64 || r.GetTimeoutSeconds() < 0 || r.GetTtlSeconds() < 0 {
		return nil, fmt.Errorf("%w: stage %.80q, timeout %d s, TTL %d s", build.ErrInvalid, r.GetStage(), r.GetTimeoutSeconds(), r.GetTtlSeconds())
	}
	_, err := s.machine.Update(ctx, r.GetBuildId(), func(tx *store.Tx, b store.Build) (store.Build, error) {
		if !b.HeldBy(workerID, r.GetAttempt()) {
			return b, transition.LeaseLost(b, r.GetAttempt())
		}
		if b.State == build.Building && b.Stage == r.GetStage() {
			return b, nil // recorded before; the response was lost
		}
		next := b
		next.Stage, next.StageTTL = r.GetStage(), min(time.Duration(r.GetTtlSeconds())*time.Second, s.cfg.MaxStageTTL)
		return s.machine.EnterStage(ctx, tx, b, transition.Stage{
			Name: next.Stage, Timeout: min(time.Duration(r.GetTimeoutSeconds())*time.Second, s.cfg.MaxBuildTimeout),
			OwnTTL: next.StageTTL, TTL: s.rules.TTL(next, next.Stage),
		})
	})
	if err != nil {
		return nil, err
	}
	return &schedulerv1.StageResponse{}, nil
}

// CheckLease returns build.ErrLeaseLost if the worker does not hold the attempt now.
func (s *Scheduler) CheckLease(ctx context.Context, r *schedulerv1.CheckLeaseRequest) (*schedulerv1.CheckLeaseResponse, error) {
	b, err := s.store.Build(ctx, r.GetBuildId())
	if err != nil {
		return nil, err
	}
	if !b.HeldBy(r.GetWorkerId(), r.GetAttempt()) {
		return nil, transition.LeaseLost(b, r.GetAttempt())
	}
	source, err := repack.SourceOf(ctx, s.store, b)
	if err != nil {
		return nil, err
	}
	return &schedulerv1.CheckLeaseResponse{Build: view.Build(b), Repack: source}, nil
}
