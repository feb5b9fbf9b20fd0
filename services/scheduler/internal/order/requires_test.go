package order

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// requiring returns b for a worker with some labels.
func requiring(b store.Build, requires build.Requirements) store.Build {
	b.Settings.Requires = requires
	return b
}

// labelled returns macs with labels that understand offers.
func labelled(slots, held int, labels build.Labels) store.Group {
	g := macs(slots, held)
	g.Offers, g.Labels = true, labels
	return g
}

func TestChooseByRequirements(t *testing.T) {
	t.Parallel()
	ios26, ios99 := build.Requirements("xcode=26"), build.Requirements("xcode=99")
	mac := build.Labels{"xcode": "26.1"}
	builds := []store.Build{
		requiring(waiting(1, "app", 0, build.IOS), ios26), requiring(waiting(2, "app", 0, build.IOS), ios26),
		requiring(waiting(3, "app", 0, build.IOS), ios99), waiting(4, "app", 0, build.IOS), waiting(5, "app", 0, build.IOS),
		waiting(6, "app", 0, build.IOS),
	}
	for _, test := range []struct {
		name    string
		workers []store.Group
		want    []int64
	}{
		{"no worker has the labels: nothing waits for one", []store.Group{macs(2, 0)}, []int64{4, 5, 6}},
		{"workers of old versions get none", []store.Group{{Pool: "default", Workers: 1, Slots: 1, Free: 1, Labels: mac}}, []int64{4, 5}},
		{"a free worker, and its next slot", []store.Group{labelled(1, 0, mac)}, []int64{1, 2, 4}},
		{"a busy one: its next slot for the first, and the window for the others", []store.Group{labelled(1, 1, mac)}, []int64{1, 4}},
		{"a busy one beside a free one", []store.Group{labelled(1, 1, mac), macs(1, 0)}, []int64{1, 4, 5}},
	} {
		w := world(builds, test.workers...)
		if diff := cmp.Diff(test.want, seqs(Choose(w))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	// Of equal builds of two projects the turns alternate, whatever they require.
	fair := world([]store.Build{
		requiring(waiting(1, "a", 0, build.IOS), ios26), waiting(2, "a", 0, build.IOS), waiting(3, "b", 0, build.IOS), waiting(4, "b", 0, build.IOS),
	}, labelled(4, 0, mac))
	if diff := cmp.Diff([]int64{1, 3, 2, 4}, seqs(Choose(fair))); diff != "" {
		t.Errorf("two projects (-want +got):\n%s", diff)
	}
	// It is not the turn of a build with requirements while others before it have no room.
	full := world([]store.Build{waiting(1, "a", 0, build.IOS), requiring(waiting(2, "a", 0, build.IOS), ios26)}, labelled(1, 1, mac))
	full.Queued = map[store.Lane]int{ios: 1}
	if got := Choose(full); len(got) != 0 {
		t.Errorf("without room = %v", seqs(got))
	}
}

// TestSimulateByRequirements: the forecast has builds wait for the workers that they need, and others not for them.
func TestSimulateByRequirements(t *testing.T) {
	t.Parallel()
	mac := build.Labels{"xcode": "26.1"}
	running := requiring(waiting(1, "app", 0, build.IOS), "xcode=26")
	w := world([]store.Build{
		requiring(waiting(2, "app", 0, build.IOS), "xcode=26"), requiring(waiting(3, "app", 0, build.IOS), "xcode=99"), waiting(4, "app", 0, build.IOS),
	}, macs(1, 0), labelled(1, 1, mac))
	w.Live = map[store.Lane]map[string]int{ios: {"app": 1}}
	got := Simulate(Snapshot{World: w, Running: []store.Build{running}, Remaining: constant(30 * time.Minute)})
	want := map[string]Place{
		"b4": {Position: 1, Start: epoch},
		"b2": {Position: 2, Start: epoch.Add(30 * time.Minute)},
		"b3": {Position: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Simulate (-want +got):\n%s", diff)
	}
}
