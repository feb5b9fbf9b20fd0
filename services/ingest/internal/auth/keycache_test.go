package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// TestRevokedKeyIsForgotten: a key is asked for once in a while, a revoked one works for a second at most, and what was no key
// a moment ago works as soon as it is one.
func TestRevokedKeyIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newKeyCache()
		keys, asked := map[string]bool{"good": true}, 0
		look := func(_ context.Context, key string) (identity.Scopes, error) {
			asked++
			if !keys[key] {
				return nil, build.ErrUnauthorized
			}
			return identity.Scopes{identity.ScopeRead}, nil
		}
		for range 100 {
			if scopes, err := c.get(t.Context(), "good", look); err != nil || !scopes.Allow(identity.ScopeRead) {
				t.Fatalf("get = %v, %v", scopes, err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
		delete(keys, "good")
		<-time.After(trustKey)
		if _, err := c.get(t.Context(), "good", look); !errors.Is(err, build.ErrUnauthorized) {
			t.Errorf("a revoked key = %v", err)
		}
		keys["good"] = true
		if _, err := c.get(t.Context(), "good", look); err != nil {
			t.Errorf("a key that is new = %v", err)
		}
	})
}
