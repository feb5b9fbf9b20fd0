package dispatch

import (
	"sync"
	"testing"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
)

func newTestPollCache(t *testing.T) *pollCache {
	t.Helper()
	c, err := newPollCache(transition.NewSignal())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func builds(ids ...string) (all []store.Build) {
	for _, id := range ids {
		all = append(all, store.Build{ID: id, Attempt: 1})
	}
	return all
}

// TestPollCacheGivesEachBuildOnce: polls at once get different builds from one search, although a search still sees those that are
// being claimed.
func TestPollCacheGivesEachBuildOnce(t *testing.T) {
	t.Parallel()
	c := newTestPollCache(t)
	var searches int
	find := func() ([]store.Build, error) { searches++; return builds("a", "b", "c", "d"), nil }
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b, err := c.Next(store.Worker{Pool: "p"}, find)
			if err != nil {
				t.Error(err)
			}
			if b != nil {
				mu.Lock()
				got[b.ID]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, id := range []string{"a", "b", "c", "d"} {
		if got[id] != 1 {
			t.Errorf("build %s was returned %d times, want once", id, got[id])
		}
	}
}

// TestPollCacheSeesWhatIsNew: after an arrival the next poll searches, and finds a further attempt of a build that was returned.
func TestPollCacheSeesWhatIsNew(t *testing.T) {
	t.Parallel()
	c := newTestPollCache(t)
	next := func(found ...store.Build) string {
		b, err := c.Next(store.Worker{Pool: "p"}, func() ([]store.Build, error) { return found, nil })
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			return ""
		}
		return b.ID
	}
	if got := next(builds("a", "b")...); got != "a" {
		t.Errorf("first = %q, want a", got)
	}
	c.signal.Arrived()
	if got := next(builds("urgent", "b")...); got != "urgent" {
		t.Errorf("after an arrival = %q, want the urgent one", got)
	}
	c.signal.Arrived()
	if got := next(builds("a")...); got != "" {
		t.Errorf("what is being claimed = %q, want nothing", got)
	}
	c.Forget(builds("b")[0]) // nobody is claiming it: harmless
	c.Forget(builds("a")[0])
	if got := next(builds("a")...); got != "a" {
		t.Errorf("what was forgotten = %q, want a", got)
	}
	if got := next(store.Build{ID: "a", Attempt: 2}); got != "a" {
		t.Errorf("its next attempt = %q, want a", got)
	}
}
