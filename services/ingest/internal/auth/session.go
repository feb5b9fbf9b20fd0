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

// Session returns who is logged in; build.ErrUnauthorized if nobody is.
func (g *Guard) Session(ctx context.Context, secret string) (store.Session, error) {
	if secret == "" {
		return store.Session{}, build.ErrUnauthorized
	}
	return g.store.Session(ctx, secret, time.Now())
}

// loggedIn says whether a browser's session lets a request on; buildID is the one build that a session may be bound to, where
// that is enough. What changes something must come from a page of ours.
func (g *Guard) loggedIn(r *http.Request, need identity.Scope, buildID string) bool {
	secret := pages.Cookie(r)
	if secret == "" || pages.Foreign(r) {
		return false
	}
	s, err := g.Session(r.Context(), secret)
	return err == nil && (s.Scopes.Allow(need) || buildID != "" && s.BuildID == buildID)
}
