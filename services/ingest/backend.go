package ingest

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/pages"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// backend is what the pages see of the gateway.
type backend struct{ g *Ingest }

var _ pages.Backend = backend{}

// Enter implements pages.Backend. A key must be allowed to read, since that is what the pages are for.
func (b backend) Enter(ctx context.Context, keyOrToken, buildID string) (string, error) {
	if buildID != "" {
		if !build.ValidID(buildID) || !b.g.auth.ValidToken(buildID, keyOrToken) {
			return "", pages.ErrRefused
		}
	} else if err := b.mayRead(ctx, keyOrToken); err != nil {
		return "", err
	}
	secret := identity.NewSecret()
	return secret, b.g.store.NewSession(ctx, secret, keyOrToken, buildID, time.Now().Add(b.g.cfg.SessionTTL))
}

func (b backend) mayRead(ctx context.Context, key string) error {
	scopes, err := b.g.store.Key(ctx, key)
	if errors.Is(err, build.ErrUnauthorized) || err == nil && !scopes.Allow(identity.ScopeRead) {
		return pages.ErrRefused
	}
	return err
}

// Leave implements pages.Backend.
func (b backend) Leave(ctx context.Context, secret string) error {
	return b.g.store.EndSession(ctx, secret)
}

// May implements pages.Backend.
func (b backend) May(ctx context.Context, secret, buildID string) (pages.Rights, error) {
	s, err := b.g.auth.Session(ctx, secret)
	if errors.Is(err, build.ErrUnauthorized) {
		return pages.Rights{}, pages.ErrRefused
	}
	if err != nil {
		return pages.Rights{}, err
	}
	read := s.Scopes.Allow(identity.ScopeRead)
	return pages.Rights{
		List: read, Cancel: s.Scopes.Allow(identity.ScopeSubmit), Read: read || buildID != "" && s.BuildID == buildID,
	}, nil
}

// Builds implements pages.Backend.
func (b backend) Builds(ctx context.Context, query url.Values) (api.BuildList, error) {
	limit, filter, err := pageV2(query)
	if err != nil {
		return api.BuildList{}, err
	}
	builds, next, err := b.g.farm.Page(ctx, limit, filter)
	if err != nil {
		return api.BuildList{}, err
	}
	list := api.BuildList{Builds: make([]api.Build, len(builds))}
	for i, one := range builds {
		list.Builds[i] = viewV2(one, nil)
	}
	if next > 0 {
		list.Next = strconv.FormatInt(next, 10)
	}
	return list, nil
}

// Build implements pages.Backend.
func (b backend) Build(ctx context.Context, id string) (api.Build, error) {
	resp, err := b.g.farm.BuildWithAttempts(ctx, id)
	if err != nil {
		return api.Build{}, err
	}
	v := viewV2(resp.GetBuild(), resp.GetAttempts())
	v.Pin = viewPin(resp.GetPin())
	if v.Final() {
		v.Log = b.g.logV2(ctx, id)
	}
	return v, nil
}

// Cancel implements pages.Backend.
func (b backend) Cancel(ctx context.Context, id string) error {
	_, err := b.g.farm.Cancel(ctx, id)
	return err
}

// Public implements pages.Backend.
func (b backend) Public(err error) (string, int) {
	return httpapi.Sentence(err)
}
