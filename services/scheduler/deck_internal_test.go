package scheduler

import (
	"sync"
	"testing"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

func builds(ids ...string) (all []store.Build) {
	for _, id := range ids {
		all = append(all, store.Build{ID: id, Attempt: 1})
	}
	return all
}

// TestDeckDealsEachBuildOnce: polls at once get different builds from one search, although a search still sees those that are
// being taken.
func TestDeckDealsEachBuildOnce(t *testing.T) {
	t.Parallel()
	var d deck
	var searches int
	find := func() ([]store.Build, error) { searches++; return builds("a", "b", "c", "d"), nil }
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b, err := d.deal(store.Worker{Pool: "p"}, find)
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
			t.Errorf("build %s was dealt %d times, want once", id, got[id])
		}
	}
}

// TestDeckSeesWhatIsNew: after a shuffle the next poll searches, and finds a further attempt of a build that was dealt.
func TestDeckSeesWhatIsNew(t *testing.T) {
	t.Parallel()
	var d deck
	deal := func(found ...store.Build) string {
		b, err := d.deal(store.Worker{Pool: "p"}, func() ([]store.Build, error) { return found, nil })
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			return ""
		}
		return b.ID
	}
	if got := deal(builds("a", "b")...); got != "a" {
		t.Errorf("first = %q, want a", got)
	}
	d.shuffle()
	if got := deal(builds("urgent", "b")...); got != "urgent" {
		t.Errorf("after a shuffle = %q, want the urgent one", got)
	}
	d.shuffle()
	if got := deal(builds("a")...); got != "" {
		t.Errorf("what is being taken = %q, want nothing", got)
	}
	d.putBack(builds("b")[0]) // nobody is taking it: harmless
	d.putBack(builds("a")[0])
	if got := deal(builds("a")...); got != "a" {
		t.Errorf("what was put back = %q, want a", got)
	}
	if got := deal(store.Build{ID: "a", Attempt: 2}); got != "a" {
		t.Errorf("its next attempt = %q, want a", got)
	}
}
