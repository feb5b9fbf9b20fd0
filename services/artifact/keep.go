package artifact

import (
	"context"
	"fmt"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// maxIDs bounds what one request may name.
const maxIDs = 1000

func (s requests) Stat(ctx context.Context, req *artifactv1.StatRequest) (*artifactv1.StatResponse, error) {
	o, err := s.readable(ctx, req.GetObjectId())
	if err != nil {
		return nil, err
	}
	return &artifactv1.StatResponse{Object: ref(o), BuildId: o.BuildID, Attempt: o.Attempt, Kind: kindOf(o)}, nil
}

// Assign names the build of a result that came before its build was known. Only what was uploaded as no attempt's is taken, and
// only while it can still expire: nothing that a build has is ever given to another.
func (s requests) Assign(ctx context.Context, req *artifactv1.AssignRequest) (*artifactv1.AssignResponse, error) {
	if !build.ValidID(req.GetBuildId()) || req.GetAttempt() < 1 {
		return nil, refuse(build.ErrInvalid, "attempt %d of build %.80q is none", req.GetAttempt(), req.GetBuildId())
	}
	o, err := s.readable(ctx, req.GetObjectId())
	switch {
	case err != nil:
		return nil, err
	case o.BuildID == req.GetBuildId() && o.Attempt == req.GetAttempt(): // the repeat of a request whose answer was lost
		return &artifactv1.AssignResponse{}, nil
	case kindOf(o) != artifactv1.Kind_KIND_RESULT:
		return nil, refuse(build.ErrInvalid, "object %s is no result", o.ID)
	}
	won, err := s.rows.Assign(ctx, o.ID, o.BuildID, req.GetBuildId(), req.GetAttempt())
	if err == nil && !won {
		err = refuse(build.ErrInvalid, "object %s is another build's", o.ID)
	}
	if err != nil {
		return nil, err
	}
	return &artifactv1.AssignResponse{}, nil
}

// Keep makes all of the objects permanent or, if one has no bytes, none.
func (s requests) Keep(ctx context.Context, req *artifactv1.KeepRequest) (*artifactv1.KeepResponse, error) {
	if err := bounded(req.GetObjectIds()); err != nil {
		return nil, err
	}
	if err := s.rows.Keep(ctx, req.GetObjectIds()); err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "objects kept", "object_ids", req.GetObjectIds())
	return &artifactv1.KeepResponse{}, nil
}

func (s requests) Discard(ctx context.Context, req *artifactv1.DiscardRequest) (*artifactv1.DiscardResponse, error) {
	if err := bounded(req.GetObjectIds()); err != nil {
		return nil, err
	}
	for _, id := range req.GetObjectIds() {
		if err := s.discardOne(ctx, id); err != nil {
			return nil, err
		}
	}
	return &artifactv1.DiscardResponse{}, nil
}

func bounded(ids []string) error {
	if len(ids) > maxIDs {
		return refuse(build.ErrInvalid, "%d objects in one request, at most %d are allowed", len(ids), maxIDs)
	}
	return nil
}

// discardTries is how often a row may change between our look and our claim; each change is one step of its short life.
const discardTries = 5

func (s *Service) discardOne(ctx context.Context, id string) error {
	for range discardTries {
		o, err := s.rows.Get(ctx, id)
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if gone, err := s.condemnAndDestroy(ctx, o); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("discard object %s: %w: it keeps changing", id, build.ErrUnavailable)
}

// condemnAndDestroy deletes an object that still is as it was seen. The row first says so, which fences keep and uploads;
// then the bytes go, then the row: a crash between leaves a condemned row for the janitor.
func (s *Service) condemnAndDestroy(ctx context.Context, seen store.Object) (bool, error) {
	if seen.State != store.Condemned {
		if won, err := s.rows.Condemn(ctx, seen); !won || err != nil {
			return false, err
		}
	}
	if seen.Pieces.UploadID != "" {
		if err := s.objects.DropPieces(ctx, piecedOf(seen)); err != nil {
			return false, err
		}
	}
	if err := s.deleteKeys(ctx, seen); err != nil {
		return false, err
	}
	if err := s.rows.Remove(ctx, seen.ID); err != nil {
		return false, err
	}
	s.log.InfoContext(ctx, "object removed", "object_id", seen.ID, "build_id", seen.BuildID, "kind", kindWord(kindOf(seen)), "size", seen.Size)
	return true, nil
}

// deleteKeys deletes every key with the row's prefix, since a crashed upload may have left one that the row does not know.
func (s *Service) deleteKeys(ctx context.Context, o store.Object) error {
	if o.Prefix == "" { // its bytes came with the row
		return nil
	}
	for info, err := range s.objects.List(ctx, o.Prefix+"-") {
		if err != nil {
			return err
		}
		if err := s.objects.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}
