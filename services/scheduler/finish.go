package scheduler

import (
	"context"
	"errors"
	"fmt"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/repack"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/reuse"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// Finish ends an attempt as its holder says. It looks up the result of a completed build at the artifact service first, so that nothing
// is acknowledged before its bytes are durable. A repeat of the finish that ended the build gets the same response; anybody but the
// holder gets build.ErrLeaseLost and changes nothing.
func (s *Scheduler) Finish(ctx context.Context, workerID string, r *schedulerv1.FinishRequest) (*schedulerv1.FinishResponse, error) {
	var result *eventsv1.ObjectRef
	artifacts, err := storedArtifacts(ctx, s.artifact, r)
	if err != nil {
		return nil, err
	}
	if r.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_COMPLETED {
		if result, err = s.storedResult(ctx, r); err != nil {
			return nil, err
		}
	}
	b, err := s.machine.Update(ctx, r.GetBuildId(), func(tx *store.Tx, b store.Build) (_ store.Build, err error) {
		if repeated(b, workerID, r) {
			return b, nil
		}
		if !b.HeldBy(workerID, r.GetAttempt()) {
			return b, transition.LeaseLost(b, r.GetAttempt())
		}
		if b, err = s.end(ctx, tx, b, r, result); err == nil && artifacts != nil {
			b.Artifacts = artifacts
			err = store.SaveArtifacts(ctx, tx, b.ID, artifacts)
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	if result != nil {
		s.retained.MarkRetained(b.Result.GetObjectId())
	}
	if id := b.Artifacts.GetObject().GetObjectId(); id != "" {
		s.retained.MarkRetained(id)
	}
	s.machine.Flush(ctx, "finish", b.ID)
	return &schedulerv1.FinishResponse{Build: view.Build(b)}, nil
}

// repeated recognises the finish that ended this build already: its answer was lost on the way.
func repeated(b store.Build, workerID string, r *schedulerv1.FinishRequest) bool {
	if b.WorkerID != workerID || b.Attempt != r.GetAttempt() {
		return false
	}
	switch r.GetOutcome() {
	case schedulerv1.FinishRequest_OUTCOME_COMPLETED:
		return b.State == build.Completed && b.Result.GetObjectId() == r.GetResultObjectId()
	case schedulerv1.FinishRequest_OUTCOME_FAILED:
		return b.State == build.Failed
	default:
		return false
	}
}

// storedResult asks the owner of objects what is stored: the worker's word is not enough.
func (s *Scheduler) storedResult(ctx context.Context, r *schedulerv1.FinishRequest) (*eventsv1.ObjectRef, error) {
	stat, err := s.artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: r.GetResultObjectId()})
	if err != nil {
		return nil, fmt.Errorf("look up the result of %s: %w", r.GetBuildId(), err)
	}
	if stat.GetBuildId() != r.GetBuildId() || stat.GetAttempt() != r.GetAttempt() || stat.GetKind() != artifactv1.Kind_KIND_RESULT {
		return nil, fmt.Errorf("%w: object %s is not the result of attempt %d of build %s",
			build.ErrInvalid, r.GetResultObjectId(), r.GetAttempt(), r.GetBuildId())
	}
	return stat.GetObject(), nil
}

// maxProblem bounds what is stored of the reason why artifacts were not kept, in bytes: lists have it of each build.
const maxProblem = 500

// storedArtifacts returns the artifacts of a finish as they are stored, nil if there are none. Artifacts that are not those of the attempt
// become a problem that the build shows: they never change how it ends. Only an attempt that ends its build has artifacts.
func storedArtifacts(
	ctx context.Context, artifact artifactv1.ArtifactServiceClient, r *schedulerv1.FinishRequest,
) (*schedulerv1.BuildArtifacts, error) {
	a := r.GetArtifacts()
	ends := r.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_COMPLETED || r.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_FAILED
	id := a.GetObject().GetObjectId()
	if !ends || id == "" && a.GetProblem() == "" {
		return nil, nil //nolint:nilnil // most builds have none
	}
	found := &schedulerv1.BuildArtifacts{Files: a.GetFiles(), Problem: text.Shorten(a.GetProblem(), maxProblem)}
	if id == "" {
		return found, nil
	}
	stat, err := artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: id})
	switch {
	case errors.Is(err, build.ErrObjectNotFound):
		found.Files, found.Problem = 0, "Build artifacts were uploaded and are not stored."
	case err != nil:
		return nil, fmt.Errorf("look up the artifacts of %s: %w", r.GetBuildId(), err)
	case stat.GetBuildId() != r.GetBuildId() || stat.GetAttempt() != r.GetAttempt() || stat.GetKind() != artifactv1.Kind_KIND_ARTIFACTS:
		found.Files, found.Problem = 0, "Build artifacts were reported that belong to another attempt."
	default:
		found.Object = stat.GetObject()
	}
	return found, nil
}

func (s *Scheduler) end(
	ctx context.Context, tx *store.Tx, b store.Build, r *schedulerv1.FinishRequest, result *eventsv1.ObjectRef,
) (store.Build, error) {
	switch r.GetOutcome() {
	case schedulerv1.FinishRequest_OUTCOME_COMPLETED:
		if err := reuse.Finish(ctx, tx, b, r.GetMade()); err != nil {
			return b, err
		}
		if err := repack.Finish(ctx, tx, b, r.GetMade()); err != nil {
			return b, err
		}
		return s.machine.Complete(ctx, tx, b, result)
	case schedulerv1.FinishRequest_OUTCOME_FAILED:
		return s.machine.Fail(ctx, tx, b, sentence(r.GetError(), "Build failed"))
	case schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE:
		return s.machine.Lose(ctx, tx, b, sentence(r.GetError(), "the worker could not continue"))
	case schedulerv1.FinishRequest_OUTCOME_HANDED_BACK:
		return s.machine.Return(ctx, tx, b, sentence(r.GetError(), "the worker stops"))
	default:
		return b, fmt.Errorf("%w: outcome %v", build.ErrInvalid, r.GetOutcome())
	}
}

// maxError bounds what is stored of an error, in bytes.
const maxError = 4096

func sentence(said, otherwise string) string {
	if said == "" {
		return otherwise
	}
	return text.Shorten(said, maxError)
}
