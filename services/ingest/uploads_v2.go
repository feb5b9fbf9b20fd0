package ingest

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// newUploadV2 makes room for a source that is uploaded first and submitted then. The id of the build that it will be is fixed
// here: however often an upload is submitted, it is one build.
func (g *Ingest) newUploadV2(w http.ResponseWriter, r *http.Request) {
	var req api.NewUpload
	err := httpapi.ReadJSON(w, r, &req)
	var resp *artifactv1.UploadResponse
	if err == nil {
		resp, err = g.farm.Artifact.Upload(r.Context(), &artifactv1.UploadRequest{
			BuildId: build.NewID(), Kind: artifactv1.Kind_KIND_SOURCE, Project: req.Project, Name: req.Name,
		})
	}
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	grant := resp.GetGrant()
	w.Header().Set("Cache-Control", "no-store")
	httpapi.WriteJSON(w, http.StatusCreated, api.Upload{
		ID: grant.GetObjectId(), URL: grant.GetUrl(), Headers: grant.GetHeaders(), ExpiresAt: httpapi.Time(grant.GetExpiresAtMs()),
		MaxBytes: min(grant.GetMaxBytes(), g.cfg.MaxUploadBytes),
	})
}

// useUpload takes a finished upload as the source. It gives the build if the upload has become one already.
func (g *Ingest) useUpload(ctx context.Context, s *submission) (*schedulerv1.Build, error) {
	id := s.fields["upload"]
	if s.named != nil {
		return nil, httpapi.Refuse(build.ErrInvalid, "An upload names its submit already; leave the %s out", nameHeader)
	}
	if !build.ValidID(id) {
		return nil, httpapi.Refuse(build.ErrInvalid, "Upload %.80q is none", id)
	}
	stat, err := g.farm.Artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: id})
	switch {
	case errors.Is(err, build.ErrObjectNotFound), err == nil && (stat.GetKind() != artifactv1.Kind_KIND_SOURCE || stat.GetAttempt() != 0):
		return nil, httpapi.Refuse(build.ErrInvalid, "Upload %s is not complete, or has expired; send all of its bytes first", id)
	case err != nil:
		return nil, err
	}
	s.source, s.buildID, s.uploaded = stat.GetObject(), stat.GetBuildId(), id
	b, err := g.farm.Build(ctx, s.buildID)
	switch {
	case errors.Is(err, build.ErrNotFound):
		return nil, nil //nolint:nilnil // as documented
	case err != nil:
		return nil, err
	case !s.became(b):
		return nil, httpapi.Refuse(httpapi.ErrConflict, "The upload was submitted before, as build %s with other settings", b.GetId())
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
