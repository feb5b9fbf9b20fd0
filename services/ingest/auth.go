package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// The sentences of API v1 that users' scripts look for.
var (
	errNoKey        = errors.New("Missing X-API-Key header")
	errWrongKey     = errors.New("Invalid API key")
	errNoKeyOrToken = errors.New("Missing X-API-Key or X-Build-Token header")
	errWrongToken   = errors.New("Invalid or expired build token")
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

// requireKey lets only the holder of an API key on, before any look at the body.
func (g *Ingest) requireKey(say dialect) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := keyOf(r)
			if key == "" {
				say.refuse(w, r, http.StatusUnauthorized, codeNoKey, errNoKey.Error())
				return
			}
			if g.checkKey(w, r, say, key) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// requireKeyOrToken also takes the token that the build's submitter got. If there is a key, it decides.
func (g *Ingest) requireKeyOrToken(say dialect) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, token := keyOf(r), r.Header.Get("X-Build-Token")
			switch {
			case key != "":
				if !g.checkKey(w, r, say, key) {
					return
				}
			case token == "":
				say.refuse(w, r, http.StatusUnauthorized, codeNoKey, errNoKeyOrToken.Error())
				return
			case !g.validToken(chi.URLParam(r, "id"), token):
				say.refuse(w, r, http.StatusForbidden, codeWrongKey, errWrongToken.Error())
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (g *Ingest) checkKey(w http.ResponseWriter, r *http.Request, say dialect, key string) bool {
	_, err := g.store.Key(r.Context(), key)
	switch {
	case errors.Is(err, build.ErrUnauthorized):
		say.refuse(w, r, http.StatusForbidden, codeWrongKey, errWrongKey.Error())
		return false
	case err != nil:
		g.fail(w, r, say, fmt.Errorf("%w: %w", build.ErrUnavailable, err))
		return false
	}
	return true
}

// token is what lets a submitter follow its one build without an API key. It is made from the build's id and a key of the
// gateways, so nothing is stored and a repeated answer holds the same token (docs/decisions/0002).
func (g *Ingest) token(buildID string) string {
	mac := hmac.New(sha256.New, g.cfg.TokenKey)
	mac.Write([]byte("build-token:" + buildID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (g *Ingest) validToken(buildID, token string) bool {
	return hmac.Equal([]byte(token), []byte(g.token(buildID)))
}
