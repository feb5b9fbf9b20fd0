// Package idle watches a farm for builds that wait while workers that can build them have nothing to do.
package idle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Limit is how long a build may wait while a worker that can build it is idle.
const Limit = 30 * time.Second

// Watch remembers since when workers have been idle and builds have waited. The zero value is ready; it is not safe for concurrent use.
type Watch struct {
	idle    map[string]time.Time
	waiting map[string]time.Time
	found   map[string]string
}

// Look takes in what the farm says now. What it does not name is forgotten: it ran, ended or is gone.
func (w *Watch) Look(now time.Time, builds []api.Build, workers []api.Worker) {
	if w.found == nil {
		w.found = map[string]string{}
	}
	w.idle = since(w.idle, now, func(yield func(string)) {
		for _, x := range workers {
			if x.Online && !x.Draining && x.Held == 0 {
				yield(x.ID)
			}
		}
	})
	w.waiting = since(w.waiting, now, func(yield func(string)) {
		for _, b := range builds {
			if b.Status == "pending" || b.Status == "queued" {
				yield(attemptOf(b))
			}
		}
	})
	for _, b := range builds {
		from, waits := w.waiting[attemptOf(b)]
		if !waits {
			continue
		}
		for _, x := range workers {
			idle, is := w.idle[x.ID]
			if !is || !can(x, b) {
				continue
			}
			begun := from
			if idle.After(from) {
				begun = idle
			}
			if now.Sub(begun) > Limit {
				w.found[b.ID] = fmt.Sprintf("attempt %d is %s (%q) while worker %s has been idle for %s", b.Attempt, b.Status, b.WaitingFor,
					cmp.Or(x.Name, x.ID), now.Sub(begun).Round(time.Second))
			}
		}
	}
}

// Stuck returns the builds that waited for too long, by their id, with what was seen last.
func (w *Watch) Stuck() map[string]string { return w.found }

// attemptOf tells the waiting of one attempt from that of the next.
func attemptOf(b api.Build) string { return fmt.Sprintf("%s.%d", b.ID, b.Attempt) }

func can(w api.Worker, b api.Build) bool {
	return w.Pool == b.Pool && (len(w.Platforms) == 0 || slices.Contains(w.Platforms, b.Platform))
}

// since keeps the times of what is still so and adds what is so from now on.
func since(was map[string]time.Time, now time.Time, each func(yield func(string))) map[string]time.Time {
	is := map[string]time.Time{}
	each(func(id string) {
		is[id] = now
		if t, known := was[id]; known {
			is[id] = t
		}
	})
	return is
}
