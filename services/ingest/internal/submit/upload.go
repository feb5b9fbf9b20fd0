package submit

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// useUpload makes a finished upload the source. The upload fixes the build's id, so the scheduler recognises a repeat.
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

// replayUpload makes this submit the repeat of the one that became b. It returns an error if that had other settings.
func (s *submission) replayUpload(b *schedulerv1.Build) error {
	if !s.sameSettings(b) {
		s.Asked = false // b has its own files: what this submit has stored belongs to none
		return httpx.Refuse(httpapi.ErrConflict, "This upload is already build %s, which has other settings", b.GetId())
	}
	s.replayed = true
	return nil
}

// sameSettings compares everything that is no file.
func (s *submission) sameSettings(b *schedulerv1.Build) bool {
	pool := s.fields["pool"]
	if pool == "" {
		pool = build.DefaultPool
	}
	return b.GetPlatform() == s.fields["platform"] && b.GetPool() == pool && b.GetProject() == s.fields["project"] &&
		b.GetProfile() == s.fields["profile"] && b.GetPriority() == s.priority && proto.Equal(b.GetOrigin(), s.origin())
}
