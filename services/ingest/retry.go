package ingest

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
)

// retry submits a build anew from what the old one was submitted with.
func (g *Ingest) retry(ctx context.Context, oldID string) (*schedulerv1.SubmitResponse, error) {
	return g.retryAs(ctx, &submission{buildID: build.NewID(), retryOf: oldID}, oldID)
}

// retryNamed heeds the name that a retry may give itself.
func (g *Ingest) retryNamed(w http.ResponseWriter, r *http.Request, oldID string) (*schedulerv1.SubmitResponse, error) {
	s := &submission{buildID: build.NewID(), retryOf: oldID}
	defer s.end()
	if err := g.reserve(r, s); err != nil {
		return nil, err
	}
	if s.named != nil && s.named.repeats != nil {
		if s.named.repeats.GetRetryOf() != oldID {
			return nil, httpapi.Refuse(httpapi.ErrKeyReused, "The %s was used for another submit", nameHeader)
		}
		w.Header().Set(replayHeader, "true")
		return &schedulerv1.SubmitResponse{Build: s.named.repeats}, nil
	}
	resp, err := g.retryAs(r.Context(), s, oldID)
	if b := g.replayAfter(r.Context(), s, err); b != nil {
		w.Header().Set(replayHeader, "true")
		resp, err = &schedulerv1.SubmitResponse{Build: b}, nil
	}
	g.settle(r.Context(), s, err)
	return resp, err
}

func (g *Ingest) retryAs(ctx context.Context, s *submission, oldID string) (*schedulerv1.SubmitResponse, error) {
	if err := g.storage.Err(); err != nil {
		return nil, err
	}
	old, err := g.farm.BuildWithAttempts(ctx, oldID)
	if err != nil {
		return nil, err
	}
	if err := g.adopt(ctx, s, oldID); err != nil {
		return nil, err
	}
	b := old.GetBuild()
	resp, err := g.askSubmit(ctx, s, &schedulerv1.SubmitRequest{
		BuildId: s.buildID, Project: b.GetProject(), Platform: b.GetPlatform(), Pool: b.GetPool(), Priority: b.GetPriority(),
		Profile: b.GetProfile(), Source: s.source, Certs: s.certs, RetryOf: oldID, Origin: b.GetOrigin(),
	})
	if err != nil {
		g.discard(ctx, s)
		return nil, err
	}
	g.conclude(ctx, s, resp.GetBuild())
	return resp, nil
}

// adopt has copies made of what the old build was submitted with. If the answer is lost, the janitor finds the copies.
func (g *Ingest) adopt(ctx context.Context, s *submission, oldID string) error {
	adopted, err := g.farm.Artifact.Adopt(ctx, &artifactv1.AdoptRequest{FromBuildId: oldID, ToBuildId: s.buildID})
	if errors.Is(err, build.ErrObjectNotFound) {
		return httpapi.Refuse(build.ErrInvalid, "The source of build %s is not kept any more; submit it again", oldID)
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
