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

// useUpload takes a finished upload as the source. It gives the build if the upload has become one already.
func (v *Service) useUpload(ctx context.Context, s *submission) (*schedulerv1.Build, error) {
	id := s.fields["upload"]
	if s.named != nil {
		return nil, httpx.Refuse(build.ErrInvalid, "An upload names its submit already; leave the %s out", KeyHeader)
	}
	if !build.ValidID(id) {
		return nil, httpx.Refuse(build.ErrInvalid, "Upload %.80q is none", id)
	}
	stat, err := v.Farm.Artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: id})
	switch {
	case errors.Is(err, build.ErrObjectNotFound), err == nil && (stat.GetKind() != artifactv1.Kind_KIND_SOURCE || stat.GetAttempt() != 0):
		return nil, httpx.Refuse(build.ErrInvalid, "Upload %s is not complete, or has expired; send all of its bytes first", id)
	case err != nil:
		return nil, err
	}
	s.source, s.BuildID, s.uploaded = stat.GetObject(), stat.GetBuildId(), id
	b, err := v.Farm.Build(ctx, s.BuildID)
	switch {
	case errors.Is(err, build.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !s.became(b):
		return nil, httpx.Refuse(httpapi.ErrConflict, "The upload was submitted before, as build %s with other settings", b.GetId())
	}
	return b, nil
}

// became reports whether the build is what this submit asks for.
func (s *submission) became(b *schedulerv1.Build) bool {
	return b.GetSource().GetObjectId() == s.uploaded && s.sameSettings(b)
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
