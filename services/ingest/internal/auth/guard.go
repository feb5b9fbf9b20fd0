package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// KeyOf returns the API key of a request: X-API-Key, or a bearer token.
func KeyOf(r *http.Request) string {
	if k := r.Header.Get("X-API-Key"); k != "" {
		return k
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return token
	}
	return ""
}

// RequireKey lets a request pass that has an API key with the scope, or in API v2 a session of one.
func (g *Guard) RequireKey(d httpapi.Dialect, need identity.Scope) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := KeyOf(r)
			if key == "" && d == httpapi.V2 && g.loggedIn(r, need, "") {
				next.ServeHTTP(w, r)
				return
			}
			if key == "" {
				d.Refuse(w, r, http.StatusUnauthorized, httpapi.CodeNoKey, httpapi.MsgNoKey)
				return
			}
			if g.checkKey(w, r, d, key, need) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// RequireKeyOrToken also accepts the token of the build in the path. A key decides if there is one.
func (g *Guard) RequireKeyOrToken(d httpapi.Dialect, need identity.Scope) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, token := KeyOf(r), r.Header.Get("X-Build-Token")
			switch {
			case key != "":
				if !g.checkKey(w, r, d, key, need) {
					return
				}
			case token == "" && d == httpapi.V2 && g.loggedIn(r, need, chi.URLParam(r, "id")):
			case token == "":
				d.Refuse(w, r, http.StatusUnauthorized, httpapi.CodeNoKey, httpapi.MsgNoKeyOrToken)
				return
			case !g.checkToken(w, r, d, token):
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Guard judges requests. Create it with New. It is safe for concurrent use.
type Guard struct {
	httpapi.Responder

	store    *store.AccessStore
	tokenKey []byte
	keys     keyCache
	// legacyToken reports whether the legacy controller issued the token for the build; nil: it
	// issued none.
	legacyToken func(ctx context.Context, buildID, token string) (bool, error)
}

// New returns a guard. tokenKey makes and checks build tokens: at least 32 random bytes, the same
// in every replica.
func New(st *store.AccessStore, tokenKey []byte, p httpapi.Responder) *Guard {
	return &Guard{Responder: p, store: st, tokenKey: tokenKey, keys: newKeyCache()}
}

// AcceptLegacyTokens makes the guard accept the build tokens that issued reports as the legacy
// controller's. Call it before the guard is used.
func (g *Guard) AcceptLegacyTokens(issued func(ctx context.Context, buildID, token string) (bool, error)) {
	g.legacyToken = issued
}

// checkToken reports whether the token is the build's, issued here or by the legacy controller. If
// it is not, it answers the request.
func (g *Guard) checkToken(w http.ResponseWriter, r *http.Request, d httpapi.Dialect, token string) bool {
	id := chi.URLParam(r, "id")
	if g.ValidToken(id, token) {
		return true
	}
	legacy := false
	if g.legacyToken != nil {
		var err error
		if legacy, err = g.legacyToken(r.Context(), id, token); err != nil {
			g.Fail(w, r, d, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
			return false
		}
	}
	if !legacy {
		d.Refuse(w, r, http.StatusForbidden, httpapi.CodeWrongKey, httpapi.MsgWrongToken)
	}
	return legacy
}

// checkKey answers the request itself if the key does not let it on.
func (g *Guard) checkKey(w http.ResponseWriter, r *http.Request, d httpapi.Dialect, key string, need identity.Scope) bool {
	scopes, err := g.keys.get(r.Context(), key, g.store.Key)
	switch {
	case errors.Is(err, build.ErrUnauthorized):
		d.Refuse(w, r, http.StatusForbidden, httpapi.CodeWrongKey, httpapi.MsgWrongKey)
	case err != nil:
		g.Fail(w, r, d, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
	case !scopes.Allow(need):
		g.Fail(w, r, d, httpx.Refuse(httpapi.ErrForbidden, "This API key lacks the scope %s", need))
	default:
		return true
	}
	return false
}
