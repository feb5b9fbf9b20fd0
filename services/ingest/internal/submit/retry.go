package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Retry submits the source and certificates of a build again as a new build.
func (v *Service) Retry(ctx context.Context, oldID string) (*schedulerv1.SubmitResponse, error) {
	return v.retryAs(ctx, &submission{Draft: Draft{BuildID: build.NewID()}, retryOf: oldID}, oldID)
}

// RetryOnce is Retry with the idempotency key of the request, if it has one. replayed says that the
// build existed before.
func (v *Service) RetryOnce(r *http.Request, oldID string) (resp *schedulerv1.SubmitResponse, replayed bool, err error) {
	s := &submission{Draft: Draft{BuildID: build.NewID()}, retryOf: oldID}
	defer s.end()
	if err := v.reserve(r, s); err != nil {
		return nil, false, err
	}
	if s.reserved != nil && s.reserved.original != nil {
		if s.reserved.original.GetRetryOf() != oldID {
			return nil, false, httpx.Refuse(httpapi.ErrKeyReused, "This %s belongs to another submit. Use a new key", KeyHeader)
		}
		return &schedulerv1.SubmitResponse{Build: s.reserved.original}, true, nil
	}
	resp, err = v.retryAs(r.Context(), s, oldID)
	if b := v.replayAfter(r.Context(), s, err); b != nil {
		resp, replayed, err = &schedulerv1.SubmitResponse{Build: b}, true, nil
	}
	v.settleKey(r.Context(), s, err)
	return resp, replayed, err
}

func (v *Service) retryAs(ctx context.Context, s *submission, oldID string) (*schedulerv1.SubmitResponse, error) {
	if err := v.Storage.Err(); err != nil {
		return nil, err
	}
	old, err := v.Farm.BuildWithAttempts(ctx, oldID)
	if err != nil {
		return nil, err
	}
	if err := v.adopt(ctx, s, oldID); err != nil {
		return nil, err
	}
	b := old.GetBuild()
	resp, err := v.requestSubmit(ctx, s, &schedulerv1.SubmitRequest{
		BuildId: s.BuildID, Project: b.GetProject(), Platform: b.GetPlatform(), Pool: b.GetPool(), Priority: b.GetPriority(),
		Profile: b.GetProfile(), Source: s.source, Certs: s.certs, RetryOf: oldID, Origin: b.GetOrigin(), Settings: b.GetSettings(),
	})
	if err != nil {
		v.Discard(ctx, &s.Draft)
		return nil, err
	}
	v.keepObjects(ctx, s, resp.GetBuild())
	return resp, nil
}

// adopt copies the files of the old build. If the response is lost, the artifact service's janitor
// deletes the copies.
func (v *Service) adopt(ctx context.Context, s *submission, oldID string) error {
	adopted, err := v.Farm.Artifact.Adopt(ctx, &artifactv1.AdoptRequest{FromBuildId: oldID, ToBuildId: s.BuildID})
	if errors.Is(err, build.ErrObjectNotFound) {
		return httpx.Refuse(build.ErrInvalid, "The source of build %s is not kept any more; submit it again", oldID)
	}
	if err != nil {
		return fmt.Errorf("take over the source of build %s: %w", oldID, err)
	}
	s.source = adopted.GetSource()
	if adopted.GetCerts().GetObjectId() != "" {
		s.certs = adopted.GetCerts()
	}
	s.objects = objectIDs(s.source, s.certs)
	return nil
}

func objectIDs(refs ...*eventsv1.ObjectRef) (ids []string) {
	for _, r := range refs {
		if r.GetObjectId() != "" {
			ids = append(ids, r.GetObjectId())
		}
	}
	return ids
}
