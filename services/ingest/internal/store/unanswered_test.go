package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
)

func start() time.Time { return time.UnixMilli(1_700_000_000_000) }

func same() store.Submit {
	return store.Submit{KeyID: "ci", SourceSHA256: "aa", CertsSHA256: "bb", Platform: "ios"}
}

func putUnanswered(t *testing.T, s *store.Store, id string, sub store.Submit, at time.Time) {
	t.Helper()
	if err := s.PutUnanswered(t.Context(), id, sub, at); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, s *store.Store, sub store.Submit, after time.Time) string {
	t.Helper()
	id, err := s.TakeUnanswered(t.Context(), sub, "me", after)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func overdue(t *testing.T, s *store.Store, before time.Time, limit int) []string {
	t.Helper()
	ids, err := s.TakeOverdue(t.Context(), before, limit)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestTakeUnanswered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		now := start()
		putUnanswered(t, s, "b1", same(), now)
		for name, change := range map[string]func(*store.Submit){
			"key": func(s *store.Submit) { s.KeyID = "x" }, "source": func(s *store.Submit) { s.SourceSHA256 = "x" },
			"certs": func(s *store.Submit) { s.CertsSHA256 = "" }, "platform": func(s *store.Submit) { s.Platform = "android" },
		} {
			other := same()
			change(&other)
			if id := take(t, s, other, now.Add(-time.Hour)); id != "" {
				t.Errorf("another %s got %s", name, id)
			}
		}
		if id := take(t, s, same(), now); id != "b1" {
			t.Errorf("TakeUnanswered = %q", id)
		}
		if id := take(t, s, same(), now); id != "" {
			t.Errorf("a second time = %q", id)
		}
		putUnanswered(t, s, "b1", same(), now)
		if id := take(t, s, same(), now.Add(time.Millisecond)); id != "" {
			t.Errorf("too late = %q", id)
		}
		putUnanswered(t, s, "b2", same(), now.Add(time.Second))
		putUnanswered(t, s, "b1", same(), now.Add(2*time.Second)) // lost again
		if a, b := take(t, s, same(), now), take(t, s, same(), now); a != "b2" || b != "b1" {
			t.Errorf("in turn = %q, %q", a, b)
		}
	})
}

func TestTakeUnansweredAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		putUnanswered(t, s, "b1", same(), start())
		var all sync.WaitGroup
		got := make(chan string, 8)
		for range cap(got) {
			all.Go(func() {
				id, err := s.TakeUnanswered(t.Context(), same(), "me", start())
				if err != nil {
					t.Error(err)
				}
				got <- id
			})
		}
		all.Wait()
		close(got)
		counts := map[string]int{}
		for id := range got {
			counts[id]++
		}
		if diff := cmp.Diff(map[string]int{"b1": 1, "": 7}, counts); diff != "" {
			t.Errorf("takers (-want +got):\n%s", diff)
		}
	})
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		now := start()
		for i, id := range []string{"b1", "b2", "b3"} {
			putUnanswered(t, s, id, same(), now.Add(time.Duration(i)*time.Second))
		}
		if ids := overdue(t, s, now, 10); len(ids) != 0 {
			t.Errorf("nothing is overdue, got %v", ids)
		}
		for range 2 { // until they are settled
			if diff := cmp.Diff([]string{"b1", "b2"}, overdue(t, s, now.Add(2*time.Second), 10)); diff != "" {
				t.Errorf("Overdue (-want +got):\n%s", diff)
			}
		}
		if ids := overdue(t, s, now.Add(time.Hour), 1); len(ids) != 1 || ids[0] != "b1" {
			t.Errorf("at most one = %v", ids)
		}
		// Whatever a repeat's clock says, it does not get what is being rolled back.
		if a, b := take(t, s, same(), now), take(t, s, same(), now); a != "b3" || b != "" {
			t.Errorf("repeats got %q, %q", a, b)
		}
		for _, id := range []string{"b1", "b2", "unknown"} {
			if err := s.ForgetUnanswered(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if ids := overdue(t, s, now.Add(time.Hour), 10); len(ids) != 0 {
			t.Errorf("settled ones come again: %v", ids)
		}
	})
}
