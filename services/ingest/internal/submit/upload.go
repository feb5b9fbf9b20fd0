package submit

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// useUpload makes a finished upload the source. The upload fixes the build's id, so the scheduler
// recognises a repeat.
func (v *Service) useUpload(ctx context.Context, s *submission) error {
	id := s.fields["upload"]
	if s.reserved != nil {
		return httpx.Refuse(build.ErrInvalid, "A submit with an upload must not have an %s: repeated submits of one upload are one build already", KeyHeader)
	}
	if !build.ValidID(id) {
		return httpx.Refuse(build.ErrInvalid, "No such upload: %.80q", id)
	}
	stat, err := v.Farm.Artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: id})
	switch {
	case errors.Is(err, build.ErrObjectNotFound), err == nil && (stat.GetKind() != artifactv1.Kind_KIND_SOURCE || stat.GetAttempt() != 0):
		return httpx.Refuse(build.ErrInvalid, "Upload %s is incomplete or has expired. Send all of its bytes first", id)
	case err != nil:
		return err
	}
	s.source, s.BuildID, s.uploaded = stat.GetObject(), stat.GetBuildId(), id
	return nil
}

// replayUpload makes this submit the repeat of the one that became b. It returns
// httpapi.ErrConflict if b has other settings.
func (v *Service) replayUpload(ctx context.Context, s *submission, b *schedulerv1.Build) error {
	same, err := v.sameSettings(ctx, s, b)
	if err != nil {
		return err
	}
	if !same {
		s.Requested = false // b has its own files: the objects of this submit belong to no build
		return httpx.Refuse(httpapi.ErrConflict, "This upload is already build %s, which has other settings", b.GetId())
	}
	s.replayed = true
	return nil
}

// sameSettings reports whether this submit asks for the settings of b. It does not compare files.
func (v *Service) sameSettings(ctx context.Context, s *submission, b *schedulerv1.Build) (bool, error) {
	pool := s.fields["pool"]
	if pool == "" {
		pool = build.DefaultPool
	}
	same := b.GetPlatform() == s.fields["platform"] && b.GetPool() == pool && b.GetProject() == s.fields["project"] &&
		b.GetProfile() == s.fields["profile"] && proto.Equal(b.GetOrigin(), s.origin())
	if !same || b.GetPriority() == s.priority {
		return same, nil
	}
	bounded, err := v.boundPriority(ctx, s)
	return b.GetPriority() == bounded, err
}

// minPriority is the lowest priority of any project.
const minPriority = -100

// boundPriority returns the priority that the scheduler gives to the build of this submit.
func (v *Service) boundPriority(ctx context.Context, s *submission) (int32, error) {
	rules, err := v.Farm.Scheduler.ListRules(ctx, &schedulerv1.ListRulesRequest{})
	if err != nil {
		return 0, fmt.Errorf("read the priority range of project %q: %w", s.fields["project"], err)
	}
	limit := rules.GetDefaultMaxPriority()
	for _, r := range rules.GetProjects() {
		if r.GetProject() == s.fields["project"] && r.MaxPriority != nil {
			limit = r.GetMaxPriority()
		}
	}
	return min(max(s.priority, minPriority), limit), nil
}
