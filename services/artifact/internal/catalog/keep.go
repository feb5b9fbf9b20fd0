package catalog

import (
	"context"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Requests answers what other services ask about objects.
type Requests struct{ Catalog *Catalog }

// maxIDs bounds the objects of one request.
const maxIDs = 1000

// Stat returns what is known of an object that has bytes.
func (r Requests) Stat(ctx context.Context, req *artifactv1.StatRequest) (*artifactv1.StatResponse, error) {
	o, err := r.Catalog.Readable(ctx, req.GetObjectId())
	if err != nil {
		return nil, err
	}
	return &artifactv1.StatResponse{Object: Ref(o), BuildId: o.BuildID, Attempt: o.Attempt, Kind: KindOf(o)}, nil
}

// Assign sets the build of a result that was uploaded before its build was known. The result must belong to no attempt yet and
// not be kept: nothing moves from one build to another.
func (r Requests) Assign(ctx context.Context, req *artifactv1.AssignRequest) (*artifactv1.AssignResponse, error) {
	if !build.ValidID(req.GetBuildId()) || req.GetAttempt() < 1 {
		return nil, httpx.Refuse(build.ErrInvalid, "invalid attempt %d of build %.80q", req.GetAttempt(), req.GetBuildId())
	}
	o, err := r.Catalog.Readable(ctx, req.GetObjectId())
	switch {
	case err != nil:
		return nil, err
	case o.BuildID == req.GetBuildId() && o.Attempt == req.GetAttempt(): // the repeat of a request whose answer was lost
		return &artifactv1.AssignResponse{}, nil
	case KindOf(o) != artifactv1.Kind_KIND_RESULT:
		return nil, httpx.Refuse(build.ErrInvalid, "object %s is not a result", o.ID)
	}
	won, err := r.Catalog.Rows.Assign(ctx, o.ID, o.BuildID, req.GetBuildId(), req.GetAttempt())
	if err == nil && !won {
		err = httpx.Refuse(build.ErrInvalid, "object %s belongs to another build", o.ID)
	}
	if err != nil {
		return nil, err
	}
	return &artifactv1.AssignResponse{}, nil
}

// Keep makes all of the objects permanent, or none if one has no bytes.
func (r Requests) Keep(ctx context.Context, req *artifactv1.KeepRequest) (*artifactv1.KeepResponse, error) {
	if err := bounded(req.GetObjectIds()); err != nil {
		return nil, err
	}
	if err := r.Catalog.Rows.Keep(ctx, req.GetObjectIds()); err != nil {
		return nil, err
	}
	r.Catalog.Log.InfoContext(ctx, "objects retained", "object_ids", req.GetObjectIds())
	return &artifactv1.KeepResponse{}, nil
}

// Discard deletes objects; those that do not exist are no error.
func (r Requests) Discard(ctx context.Context, req *artifactv1.DiscardRequest) (*artifactv1.DiscardResponse, error) {
	if err := bounded(req.GetObjectIds()); err != nil {
		return nil, err
	}
	for _, id := range req.GetObjectIds() {
		if err := r.Catalog.Discard(ctx, id); err != nil {
			return nil, err
		}
	}
	return &artifactv1.DiscardResponse{}, nil
}

func bounded(ids []string) error {
	if len(ids) > maxIDs {
		return httpx.Refuse(build.ErrInvalid, "%d objects in one request, at most %d are allowed", len(ids), maxIDs)
	}
	return nil
}
