package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

func each(t *testing.T, f func(*testing.T, *store.Store)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		s, err := store.New(t.Context(), open(t))
		if err != nil {
			t.Fatal(err)
		}
		f(t, s)
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		allowed := func(key string) string {
			t.Helper()
			scopes, err := s.Key(t.Context(), key)
			if errors.Is(err, build.ErrUnauthorized) {
				return "none"
			}
			if err != nil {
				t.Fatal(err)
			}
			return scopes.String()
		}
		put := func(id, key string, scopes ...identity.Scope) {
			t.Helper()
			if err := s.PutKey(t.Context(), id, key, scopes); err != nil {
				t.Fatal(err)
			}
		}
		if got := allowed(""); got != "none" {
			t.Errorf("no key = %s", got)
		}
		put("ci", "key-of-the-ci-0123", identity.ScopeSubmit, identity.ScopeRead)
		for _, key := range []string{"first-admin-key-0123", "second-admin-key-012", "second-admin-key-012"} {
			if err := s.Bootstrap(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]string{"key-of-the-ci-0123": "submit,read", "first-admin-key-0123": "none", "second-admin-key-012": "admin", "Second-admin-key-012": "none"}
		for key, scopes := range want {
			if got := allowed(key); got != scopes {
				t.Errorf("Key(%s) = %s, want %s", key, got, scopes)
			}
		}
		// The operator makes another's key the admin key: it is the admin's from now on, and nobody
		// else's.
		if err := s.Bootstrap(t.Context(), "key-of-the-ci-0123"); err != nil {
			t.Fatal(err)
		}
		if got := allowed("key-of-the-ci-0123"); got != "admin" {
			t.Errorf("the new admin key = %s", got)
		}
	})
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		if _, err := s.Worker(t.Context(), "w1"); !errors.Is(err, build.ErrWorkerUnknown) {
			t.Errorf("Worker = %v, want ErrWorkerUnknown", err)
		}
		want := identity.Worker{ID: "w1", SecretHash: identity.Hash("s"), Pool: "default", Platforms: []string{"ios", "android"}}
		for range 2 {
			if err := s.PutWorker(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Worker(t.Context(), "w1")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Worker (-want +got): %v\n%s", err, diff)
		}
		if err := s.Revoke(t.Context(), "w1"); err != nil {
			t.Fatal(err)
		}
		want.Pool, want.Platforms = "fast", nil
		if err := s.PutWorker(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		want.Revoked = true // joining anew does not undo it
		if got, err = s.Worker(t.Context(), "w1"); !cmp.Equal(want, got) || err != nil {
			t.Errorf("Worker = %+v, %v, want %+v", got, err, want)
		}
	})
}
