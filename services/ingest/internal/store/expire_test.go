package store_test

import (
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

func TestForgottenWorkers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"gone", "revoked", "there"} {
			ok(s.PutWorker(t.Context(), identity.Worker{ID: id, Pool: "default"}))
		}
		ok(s.Revoke(t.Context(), "revoked"))
		ok(s.ForgetWorkers(t.Context(), []string{"gone", "revoked"}))
		ok(s.ForgetWorkers(t.Context(), nil))
		for id, want := range map[string]error{"gone": build.ErrWorkerUnknown, "revoked": nil, "there": nil} {
			if _, err := s.Worker(t.Context(), id); err != want { //nolint:errorlint // the store's own
				t.Errorf("Worker(%s) = %v, want %v", id, err, want)
			}
		}
	})
}

func TestForgottenBuilds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		for _, id := range []string{"b1", "b2"} {
			if err := s.NewSession(t.Context(), "secret-of-"+id, "", id, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.ExpireBuilds(t.Context(), []string{"b1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Session(t.Context(), "secret-of-b1", time.Now()); err != nil {
			t.Errorf("the session of a build with a trace: %v", err)
		}
		if err := s.ForgetBuilds(t.Context(), []string{"b1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Session(t.Context(), "secret-of-b1", time.Now()); err == nil {
			t.Error("the session of a forgotten build is left")
		}
		if _, err := s.Session(t.Context(), "secret-of-b2", time.Now()); err != nil {
			t.Errorf("the session of another build: %v", err)
		}
	})
}
