package order

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestForecastIsWhatHappens: positions and expected starts are those of a farm that runs the rule on exact durations.
func TestForecastIsWhatHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		slots := rapid.IntRange(1, 5).Draw(rt, "slots")
		pending := backlog(rapid.IntRange(1, 6).Draw(rt, "projects"), rapid.IntRange(1, 20).Draw(rt, "each"))
		for i := range pending {
			pending[i].Priority = int32(rapid.SampledFrom([]int{0, 0, 0, 3}).Draw(rt, "priority"))
		}
		took := func(b store.Build) time.Duration {
			// A prime keeps ends apart: which of two builds ends first at one moment is nobody's promise.
			return time.Duration(60+b.Seq*7919%601)*time.Second + time.Duration(b.Seq)*time.Millisecond
		}
		f := newFarm(slots, pending)
		f.Cost = took
		places := Simulate(Snapshot{World: world(pending, macs(slots, 0)).withCost(took)})
		for more := true; more; {
			more = f.step(took)
		}
		count := 0
		for _, b := range f.started {
			count++
			if got := places[b.ID].Position; got != int32(count) {
				rt.Fatalf("build %s ran as number %d, its position was %d", b.ID, count, got)
			}
		}
		if len(places) != len(pending) {
			rt.Fatalf("%d places for %d builds", len(places), len(pending))
		}
	})
}

func (w World) withCost(cost func(store.Build) time.Duration) World {
	w.Cost = cost
	return w
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	minutes := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	offered := waiting(1, "a", 0, build.IOS)
	offered.State, offered.QueuedAt = build.Queued, epoch.Add(-time.Second)
	delayed := waiting(2, "a", 0, build.IOS)
	delayed.NotBefore = minutes(25)
	running := waiting(3, "a", 0, build.IOS)
	next, limited := waiting(4, "b", 0, build.IOS), waiting(5, "c", 0, build.IOS)
	android := waiting(6, "b", 0, build.Android)
	s := Snapshot{
		World:     world([]store.Build{next, limited, android}, macs(1, 1, build.IOS)),
		Offered:   []store.Build{offered},
		Delayed:   []store.Build{delayed},
		Running:   []store.Build{running},
		Remaining: constant(4 * time.Minute),
	}
	s.Live = map[store.Lane]map[string]int{ios: {"a": 2}}
	s.Rules.Projects = map[string]Project{"c": {MaxRunning: 1}}
	want := map[string]Place{
		"b1": {Position: 1, Start: minutes(4)},
		"b4": {Position: 2, Start: minutes(14)},
		"b5": {Position: 3, Start: minutes(24)},
		"b2": {Position: 4, Start: minutes(34)},
		"b6": {Position: 1}, // no worker builds for android
	}
	if diff := cmp.Diff(want, Simulate(s)); diff != "" {
		t.Errorf("Simulate (-want +got):\n%s", diff)
	}

	s.Live[ios]["c"] = 1
	got := Simulate(s)["b5"]
	if got.Limited != ProjectLimit || got.Start != (time.Time{}) {
		t.Errorf("a build whose project is at its limit for good = %+v", got)
	}
}

func BenchmarkSimulate(b *testing.B) {
	for _, projects := range []int{5, 100, 10_000} {
		b.Run(fmt.Sprint(projects, " projects"), func(b *testing.B) {
			pending := backlog(projects, 10_000/projects)
			for b.Loop() {
				Simulate(Snapshot{World: world(pending, macs(50, 0))})
			}
		})
	}
}
