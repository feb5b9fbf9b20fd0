package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
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
func (g *Ingest) requireKey(say httpapi.Dialect, need identity.Scope) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := keyOf(r)
			if key == "" && say == httpapi.V2 && g.loggedIn(r, need, "") {
				next.ServeHTTP(w, r)
				return
			}
			if key == "" {
				say.Refuse(w, r, http.StatusUnauthorized, httpapi.CodeNoKey, httpapi.MsgNoKey)
				return
			}
			if g.checkKey(w, r, say, key, need) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// requireKeyOrToken also takes the token that the build's submitter got. If there is a key, it decides.
func (g *Ingest) requireKeyOrToken(say httpapi.Dialect, need identity.Scope) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, token := keyOf(r), r.Header.Get("X-Build-Token")
			switch {
			case key != "":
				if !g.checkKey(w, r, say, key, need) {
					return
				}
			case token == "" && say == httpapi.V2 && g.loggedIn(r, need, chi.URLParam(r, "id")):
			case token == "":
				say.Refuse(w, r, http.StatusUnauthorized, httpapi.CodeNoKey, httpapi.MsgNoKeyOrToken)
				return
			case !g.checkToken(w, r, say, token):
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// checkToken answers the request itself if the token is not the build's: ours, or the one that another controller gave.
func (g *Ingest) checkToken(w http.ResponseWriter, r *http.Request, say httpapi.Dialect, token string) bool {
	id := chi.URLParam(r, "id")
	if g.validToken(id, token) {
		return true
	}
	former, err := g.store.FormerToken(r.Context(), id, token)
	switch {
	case err != nil:
		g.Fail(w, r, say, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
	case !former:
		say.Refuse(w, r, http.StatusForbidden, httpapi.CodeWrongKey, httpapi.MsgWrongToken)
	}
	return err == nil && former
}

// checkKey answers the request itself if the key does not let it on.
func (g *Ingest) checkKey(w http.ResponseWriter, r *http.Request, say httpapi.Dialect, key string, need identity.Scope) bool {
	scopes, err := g.keys.get(r.Context(), key, g.store.Key)
	switch {
	case errors.Is(err, build.ErrUnauthorized):
		say.Refuse(w, r, http.StatusForbidden, httpapi.CodeWrongKey, httpapi.MsgWrongKey)
	case err != nil:
		g.Fail(w, r, say, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
	case !scopes.Allow(need):
		g.Fail(w, r, say, httpapi.Refuse(httpapi.ErrForbidden, "This API key lacks the scope %s", need))
	default:
		return true
	}
	return false
}
