package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// keyOf gives the API key of a request: X-API-Key, or a bearer token.
func keyOf(r *http.Request) string {
	if k := r.Header.Get("X-API-Key"); k != "" {
		return k
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return token
	}
	return ""
}

// requireKey lets only the holder of an API key with the scope on, or in API v2 who is logged in with one, before any look at
// the body.
func (g *Ingest) requireKey(say dialect, need identity.Scope) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := keyOf(r)
			if key == "" && say == v2 && g.loggedIn(r, need, "") {
				next.ServeHTTP(w, r)
				return
			}
			if key == "" {
				say.refuse(w, r, http.StatusUnauthorized, codeNoKey, sayNoKey)
				return
			}
			if g.checkKey(w, r, say, key, need) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// requireKeyOrToken also takes the token that the build's submitter got. If there is a key, it decides.
func (g *Ingest) requireKeyOrToken(say dialect, need identity.Scope) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, token := keyOf(r), r.Header.Get("X-Build-Token")
			switch {
			case key != "":
				if !g.checkKey(w, r, say, key, need) {
					return
				}
			case token == "" && say == v2 && g.loggedIn(r, need, chi.URLParam(r, "id")):
			case token == "":
				say.refuse(w, r, http.StatusUnauthorized, codeNoKey, sayNoKeyOrToken)
				return
			case !g.checkToken(w, r, say, token):
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// checkToken answers the request itself if the token is not the build's: ours, or the one that another controller gave.
func (g *Ingest) checkToken(w http.ResponseWriter, r *http.Request, say dialect, token string) bool {
	id := chi.URLParam(r, "id")
	if g.validToken(id, token) {
		return true
	}
	former, err := g.store.FormerToken(r.Context(), id, token)
	switch {
	case err != nil:
		g.fail(w, r, say, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
	case !former:
		say.refuse(w, r, http.StatusForbidden, codeWrongKey, sayWrongToken)
	}
	return err == nil && former
}

// checkKey answers the request itself if the key does not let it on.
func (g *Ingest) checkKey(w http.ResponseWriter, r *http.Request, say dialect, key string, need identity.Scope) bool {
	scopes, err := g.keys.get(r.Context(), key, g.store.Key)
	switch {
	case errors.Is(err, build.ErrUnauthorized):
		say.refuse(w, r, http.StatusForbidden, codeWrongKey, sayWrongKey)
	case err != nil:
		g.fail(w, r, say, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
	case !scopes.Allow(need):
		g.fail(w, r, say, refuse(errForbidden, "This API key lacks the scope %s", need))
	default:
		return true
	}
	return false
}
