package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/pages"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Session returns the session with the secret. It returns build.ErrUnauthorized if there is none.
func (g *Guard) Session(ctx context.Context, secret string) (store.Session, error) {
	if secret == "" {
		return store.Session{}, build.ErrUnauthorized
	}
	return g.store.Session(ctx, secret, time.Now())
}

// loggedIn reports whether the request has a session with the scope, or one that is bound to the
// build buildID. Cross-site requests that change something are rejected.
func (g *Guard) loggedIn(r *http.Request, need identity.Scope, buildID string) bool {
	secret := pages.Cookie(r)
	if secret == "" || pages.IsCrossSite(r) {
		return false
	}
	s, err := g.Session(r.Context(), secret)
	return err == nil && (s.Scopes.Allow(need) || buildID != "" && s.BuildID == buildID)
}
