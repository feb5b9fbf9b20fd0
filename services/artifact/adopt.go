package artifact

import (
	"context"
	"errors"
	"fmt"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Adopt copies what one build was submitted with to another. A repeat gives the copies of the first.
func (s requests) Adopt(ctx context.Context, req *artifactv1.AdoptRequest) (*artifactv1.AdoptResponse, error) {
	from, to := req.GetFromBuildId(), req.GetToBuildId()
	if !build.ValidID(from) || !build.ValidID(to) || from == to {
		return nil, refuse(build.ErrInvalid, "adopt wants the ids of two builds")
	}
	source, err := s.adoptKind(ctx, from, to, artifactv1.Kind_KIND_SOURCE)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, refuse(build.ErrObjectNotFound, "the source of build %s is not stored any more", from)
	}
	certs, err := s.adoptKind(ctx, from, to, artifactv1.Kind_KIND_CERTS)
	if err != nil {
		return nil, err
	}
	return &artifactv1.AdoptResponse{Source: source, Certs: certs}, nil
}

// adoptKind gives nil when the build has no object of the kind.
func (s *Service) adoptKind(ctx context.Context, from, to string, k artifactv1.Kind) (*eventsv1.ObjectRef, error) {
	have, err := s.submitted(ctx, to, k)
	if err == nil {
		return ref(have), nil
	}
	if !isMissing(err) {
		return nil, err
	}
	o, err := s.submitted(ctx, from, k)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	had := o
	if o, err = s.copyTo(ctx, o, to); err != nil {
		if s.removedMeanwhile(ctx, had) != nil {
			return nil, nil //nolint:nilerr // as if it had not been there at all
		}
		return nil, fmt.Errorf("copy %s of build %s: %w", kindWord(k), from, err)
	}
	return ref(o), nil
}

// submitted finds what a build was submitted with: the kept one, else the newest.
func (s *Service) submitted(ctx context.Context, buildID string, k artifactv1.Kind) (store.Object, error) {
	all, err := s.rows.OfBuild(ctx, buildID)
	if err != nil {
		return store.Object{}, err
	}
	for _, o := range all {
		if kindOf(o) == k && o.Attempt == 0 {
			return o, nil
		}
	}
	return store.Object{}, store.ErrNotFound
}

// copyTo copies inside the object store or the table. The copy expires unless it is kept.
func (s *Service) copyTo(ctx context.Context, from store.Object, buildID string) (store.Object, error) {
	claim, err := s.space.claim(from.Size)
	if err != nil {
		return store.Object{}, err
	}
	defer claim.release()
	o, err := s.stage(ctx, store.Object{BuildID: buildID, Kind: from.Kind, Project: from.Project, Name: from.Name})
	if err != nil {
		return o, err
	}
	o.Content = from.Content
	if from.Key != "" {
		o.Key = newKey(o)
	}
	if len(o.WrappedKey) > 0 {
		if o.WrappedKey, err = s.box.Rewrap(from.WrappedKey, from.ID, o.ID); err != nil {
			return o, errors.Join(err, s.rows.GiveUp(ctx, o.ID, false))
		}
	}
	if from.Key == "" {
		o.Small, err = s.small(ctx, from)
	} else {
		err = s.objects.Copy(ctx, from.Key, o.Key)
	}
	if err != nil {
		return o, errors.Join(err, s.undo(ctx, o, o.Key, false, false))
	}
	now := s.now()
	err = s.rows.Commit(ctx, o.ID, o.Key, o.Content, now, now.Add(s.cfg.StagedTTL))
	if errors.Is(err, store.ErrNotStaged) && o.Key != "" { // discarded meanwhile
		err = errors.Join(err, s.objects.Delete(ctx, o.Key))
	}
	return o, err
}

func isMissing(err error) bool { return errors.Is(err, store.ErrNotFound) }
