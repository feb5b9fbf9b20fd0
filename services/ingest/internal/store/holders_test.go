package store_test

import (
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
)

func TestTakeOver(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		reserve := func(buildID, holder string) store.Reservation {
			t.Helper()
			r, err := s.Reserve(t.Context(), store.Reservation{Owner: "o", Name: "n", BuildID: buildID, Holder: holder, CreatedAt: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := reserve("b1", "p1")
		again := reserve("b2", "p2")
		if again.BuildID != "b1" || again.Holder != "p1" {
			t.Fatalf("Reserve = %+v, want the row of b1", again)
		}
		for _, want := range []bool{true, false} { // by the row as it was: once
			if taken, err := s.TakeOver(t.Context(), again, "p2"); err != nil || taken != want {
				t.Fatalf("TakeOver = %t, %v, want %t", taken, err, want)
			}
		}
		if err := s.Release(t.Context(), first); err != nil { // the first holder's word counts no more
			t.Fatal(err)
		}
		if r := reserve("b3", "p3"); r.BuildID != "b1" || r.Holder != "p2" {
			t.Errorf("after a late Release: %+v, want b1 of p2", r)
		}
	})
}

func TestBeats(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		for want := range int64(3) {
			if got, err := s.HolderBeat(t.Context(), "p"); err != nil || got != want {
				t.Errorf("HolderBeat = %d, %v, want %d", got, err, want)
			}
			if err := s.RenewHolder(t.Context(), "p", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SweepHolders(t.Context(), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.HolderBeat(t.Context(), "p"); err != nil || got != 0 {
			t.Errorf("HolderBeat after the sweep = %d, %v, want 0", got, err)
		}
	})
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		sub := store.Submit{KeyID: "k", SourceSHA256: "s", Platform: "ios"}
		put := store.InFlight{BuildID: "b", Holder: "p1", Since: time.UnixMilli(time.Now().UnixMilli())}
		if err := s.PutInFlight(t.Context(), put, sub); err != nil {
			t.Fatal(err)
		}
		find := func(self string, want ...store.InFlight) {
			t.Helper()
			got, err := s.FindInFlight(t.Context(), sub, self, time.Now().Add(-time.Minute))
			if err != nil || len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
				t.Errorf("FindInFlight for %s = %+v, %v, want %+v", self, got, err, want)
			}
		}
		find("p1")
		find("p2", put)
		if err := s.PutUnanswered(t.Context(), "b", sub, time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			if taken, err := s.TakeInFlight(t.Context(), put, "p2", time.Now()); err != nil || taken != want {
				t.Errorf("TakeInFlight = %t, %v, want %t", taken, err, want)
			}
		}
		if id, err := s.TakeUnanswered(t.Context(), sub, "p3", time.Now().Add(-time.Minute)); err != nil || id != "" {
			t.Errorf("TakeUnanswered = %q, %v, want none: the submit was taken", id, err)
		}
		if there, err := s.IsInFlight(t.Context(), put); err != nil || there {
			t.Errorf("IsInFlight = %t, %v, want false: another holder", there, err)
		}
		if err := s.ForgetInFlight(t.Context(), "b", "p2"); err != nil {
			t.Fatal(err)
		}
		find("p9")
	})
}
