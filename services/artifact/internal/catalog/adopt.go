package catalog

import (
	"context"
	"errors"
	"fmt"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Adopt copies what one build was submitted with to another. A repeat returns the copies that the first made.
func (r Requests) Adopt(ctx context.Context, req *artifactv1.AdoptRequest) (*artifactv1.AdoptResponse, error) {
	from, to := req.GetFromBuildId(), req.GetToBuildId()
	if !build.ValidID(from) || !build.ValidID(to) || from == to {
		return nil, httpx.Refuse(build.ErrInvalid, "adopt needs the ids of two different builds")
	}
	source, err := r.Catalog.adoptKind(ctx, from, to, artifactv1.Kind_KIND_SOURCE)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, httpx.Refuse(build.ErrObjectNotFound, "the source of build %s is not stored any more", from)
	}
	certs, err := r.Catalog.adoptKind(ctx, from, to, artifactv1.Kind_KIND_CERTS)
	if err != nil {
		return nil, err
	}
	return &artifactv1.AdoptResponse{Source: source, Certs: certs}, nil
}

// adoptKind returns nil if the build has no object of the kind.
func (c *Catalog) adoptKind(ctx context.Context, from, to string, k artifactv1.Kind) (*eventsv1.ObjectRef, error) {
	have, err := c.submitted(ctx, to, k)
	if err == nil {
		return Ref(have), nil
	}
	if !IsMissing(err) {
		return nil, err
	}
	o, err := c.submitted(ctx, from, k)
	if IsMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	had := o
	if o, err = c.copyTo(ctx, o, to); err != nil {
		if c.RemovedMeanwhile(ctx, had) != nil {
			return nil, nil //nolint:nilerr // as if it had not been there at all
		}
		return nil, fmt.Errorf("copy %s of build %s: %w", KindName(k), from, err)
	}
	return Ref(o), nil
}

// submitted returns what a build was submitted with: the kept one, else the newest.
func (c *Catalog) submitted(ctx context.Context, buildID string, k artifactv1.Kind) (store.Object, error) {
	all, err := c.Rows.OfBuild(ctx, buildID)
	if err != nil {
		return store.Object{}, err
	}
	for _, o := range all {
		if KindOf(o) == k && o.Attempt == 0 {
			return o, nil
		}
	}
	return store.Object{}, store.ErrNotFound
}

// copyTo copies inside the object store or the table. The copy expires unless it is kept.
func (c *Catalog) copyTo(ctx context.Context, from store.Object, buildID string) (store.Object, error) {
	claim, err := c.Space.Claim(from.Size)
	if err != nil {
		return store.Object{}, err
	}
	defer claim.Release()
	o, err := c.Stage(ctx, store.Object{BuildID: buildID, Kind: from.Kind, Project: from.Project, Name: from.Name})
	if err != nil {
		return o, err
	}
	o.Content = from.Content
	if from.Key != "" {
		o.Key = NewKey(o)
	}
	if len(o.WrappedKey) > 0 {
		if o.WrappedKey, err = c.Box.Rewrap(from.WrappedKey, from.ID, o.ID); err != nil {
			return o, errors.Join(err, c.Rows.GiveUp(ctx, o.ID, false))
		}
	}
	if from.Key == "" {
		o.Small, err = c.small(ctx, from)
	} else {
		err = c.Objects.Copy(ctx, from.Key, o.Key)
	}
	if err != nil {
		return o, errors.Join(err, c.Undo(ctx, o, o.Key, false, false))
	}
	err = c.Commit(ctx, o.ID, o.Key, o.Content)
	if errors.Is(err, store.ErrNotStaged) && o.Key != "" { // discarded meanwhile
		err = errors.Join(err, c.Objects.Delete(ctx, o.Key))
	}
	return o, err
}
