package v2

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

// Backend implements pages.Backend.
type Backend struct{ *API }

var _ pages.Backend = Backend{}

// Login implements pages.Backend. A key needs the scope read.
func (b Backend) Login(ctx context.Context, keyOrToken, buildID string) (string, error) {
	if buildID != "" {
		if !build.ValidID(buildID) || !b.Auth.ValidToken(buildID, keyOrToken) {
			return "", pages.ErrRefused
		}
	} else if err := b.mayRead(ctx, keyOrToken); err != nil {
		return "", err
	}
	secret := identity.NewSecret()
	return secret, b.Store.NewSession(ctx, secret, keyOrToken, buildID, time.Now().Add(b.SessionTTL))
}

func (b Backend) mayRead(ctx context.Context, key string) error {
	scopes, err := b.Store.Key(ctx, key)
	if errors.Is(err, build.ErrUnauthorized) || err == nil && !scopes.Allow(identity.ScopeRead) {
		return pages.ErrRefused
	}
	return err
}

// Logout implements pages.Backend.
func (b Backend) Logout(ctx context.Context, secret string) error {
	return b.Store.EndSession(ctx, secret)
}

// Rights implements pages.Backend.
func (b Backend) Rights(ctx context.Context, secret, buildID string) (pages.Rights, error) {
	s, err := b.Auth.Session(ctx, secret)
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
func (b Backend) Builds(ctx context.Context, query url.Values) (api.BuildList, error) {
	limit, filter, err := parsePage(query)
	if err != nil {
		return api.BuildList{}, err
	}
	builds, next, err := b.Farm.Page(ctx, limit, filter)
	if err != nil {
		return api.BuildList{}, err
	}
	list := api.BuildList{Builds: make([]api.Build, len(builds))}
	for i, one := range builds {
		list.Builds[i] = View(one, nil)
	}
	if next > 0 {
		list.Next = strconv.FormatInt(next, 10)
	}
	return list, nil
}

// Build implements pages.Backend.
func (b Backend) Build(ctx context.Context, id string) (api.Build, error) {
	resp, err := b.Farm.BuildWithAttempts(ctx, id)
	if err != nil {
		return api.Build{}, err
	}
	v := viewWhole(resp)
	if v.Final() {
		v.Log = b.log(ctx, id)
	}
	return v, nil
}

// Cancel implements pages.Backend.
func (b Backend) Cancel(ctx context.Context, id string) error {
	_, err := b.Farm.Cancel(ctx, id)
	return err
}

// PublicError implements pages.Backend.
func (b Backend) PublicError(err error) (string, int) {
	return httpapi.Sentence(err)
}
