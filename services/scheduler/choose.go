package scheduler

import (
	"cmp"
	"slices"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// world is what a choice is made from: a snapshot, which may lag. Lagging is safe, because releasing is conditional on the
// build's state and a hand-out too many only waits in the queue.
type world struct {
	// pending builds that may be handed out now, in the order of priority and submission within each lane and project.
	pending []store.Build
	// live counts queued and leased builds by lane and project: what a project has of the farm already.
	live map[store.Lane]map[string]int
	// queued counts the hand-outs on offer.
	queued map[store.Lane]int
	// workers that are online and take builds.
	workers []store.Capacity
}

// choose decides which builds are handed out next: as many for each lane as it has free slots, plus a small window so that
// a worker that becomes free finds work without waiting for a round. Within a lane: highest priority first, then the
// project that has the least of the farm, then the oldest submission.
func choose(w world) []store.Build {
	room := map[store.Lane]int{}
	byLane := map[store.Lane][]store.Build{}
	for _, b := range w.pending {
		l := store.Lane{Pool: b.Pool, Platform: b.Platform}
		byLane[l] = append(byLane[l], b)
	}
	var chosen []store.Build
	for l, pending := range byLane {
		room[l] = slots(l, w.workers) - w.queued[l]
		chosen = append(chosen, fair(pending, w.live[l], room[l])...)
	}
	slices.SortStableFunc(chosen, func(a, b store.Build) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Seq, b.Seq))
	})
	return chosen
}

// slots counts what a lane can take at once: its free slots and the window, one more than a quarter of all slots.
func slots(l store.Lane, workers []store.Capacity) int {
	free, all := 0, 0
	for _, w := range workers {
		if w.Can(l.Pool, l.Platform) {
			all += int(w.Slots)
			free += int(max(0, w.Slots-w.Held))
		}
	}
	if all == 0 {
		return 0
	}
	return free + 1 + all/4
}

// fair picks at most room builds. It counts each pick as the project's, so that projects alternate. Linear in the number of
// projects for each pick, which is at most the number of free slots.
func fair(pending []store.Build, live map[string]int, room int) []store.Build {
	byProject := map[string][]store.Build{}
	share := map[string]int{}
	for _, b := range pending {
		byProject[b.Project] = append(byProject[b.Project], b)
		share[b.Project] = live[b.Project]
	}
	var picked []store.Build
	for len(picked) < room && len(byProject) > 0 {
		project := next(byProject, share)
		queue := byProject[project]
		picked = append(picked, queue[0])
		share[project]++
		if byProject[project] = queue[1:]; len(queue) == 1 {
			delete(byProject, project)
		}
	}
	return picked
}

// next gives the project whose first build goes out next.
func next(byProject map[string][]store.Build, share map[string]int) string {
	best, found := "", false
	for project, queue := range byProject {
		if !found || before(queue[0], share[project], byProject[best][0], share[best]) {
			best, found = project, true
		}
	}
	return best
}

func before(a store.Build, shareA int, b store.Build, shareB int) bool {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(shareA, shareB), cmp.Compare(a.Seq, b.Seq)) < 0
}
