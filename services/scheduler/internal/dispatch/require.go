package dispatch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// maxKnown bounds the workers that are looked at to say why a build with requirements waits.
	maxKnown = 1000
	// maxNamed bounds the labels that such a reason names.
	maxNamed = 6
	// knownFor is how long a worker that has left counts as one that returns, for what a build prefers.
	knownFor = time.Hour
)

// poolWorkers reads the workers of the pools in which builds with requirements wait.
func (d *Dispatcher) poolWorkers(ctx context.Context, pending map[store.Lane][]store.Build) (map[string][]store.Capacity, error) {
	all := map[string][]store.Capacity{}
	for l := range pending {
		if _, read := all[l.Pool]; read || l.Requires == "" {
			continue
		}
		var err error
		if all[l.Pool], err = d.machine.Store.Fleet.PoolWorkers(ctx, l.Pool, maxKnown); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// missing says why no worker that is there meets a lane's requirements, and is empty if one does.
func missing(l store.Lane, all []store.Capacity, now time.Time) string {
	workers := slices.DeleteFunc(slices.Clone(all), func(w store.Capacity) bool { return !w.Can(l.Pool, l.Platform) })
	able := slices.DeleteFunc(slices.Clone(workers), func(w store.Capacity) bool { return !w.CanBuild(l) })
	if len(able) == 0 {
		return lacking(l, workers)
	}
	if slices.ContainsFunc(able, func(w store.Capacity) bool { return w.Online && !w.Draining }) {
		return ""
	}
	w := able[0] // those online come first, then the last seen
	if w.Online {
		return fmt.Sprintf("worker %s, which has %s, takes no further builds", w.Name, l.Requires)
	}
	return fmt.Sprintf("worker %s, which has %s, is offline since %s (%s ago)",
		w.Name, l.Requires, w.SeenAt.Format(time.RFC3339), now.Sub(w.SeenAt).Round(time.Second))
}

// lacking names the requirement that no worker meets, and the nearest labels.
func lacking(l store.Lane, workers []store.Capacity) string {
	required := l.Requires.Labels()
	for _, key := range slices.Sorted(maps.Keys(required)) {
		if slices.ContainsFunc(workers, func(w store.Capacity) bool { return w.Labels.Has(key, required[key]) }) {
			continue
		}
		text := fmt.Sprintf("no worker for %s in pool %s has the label %s=%s", l.Platform, l.Pool, key, required[key])
		if values := known(workers, key); len(values) > 0 {
			return text + ": known are " + named(values)
		}
		if keys := known(workers, ""); len(keys) > 0 {
			return text + ": known are labels of " + named(keys)
		}
		return text
	}
	near, lacks := "", []string(nil)
	for _, w := range workers {
		var not []string
		for _, key := range slices.Sorted(maps.Keys(required)) {
			if !w.Labels.Has(key, required[key]) {
				not = append(not, key+"="+required[key])
			}
		}
		if near == "" || len(not) < len(lacks) {
			near, lacks = w.Name, not
		}
	}
	return fmt.Sprintf("no worker has all of %s: the nearest, %s, lacks %s", l.Requires, near, strings.Join(lacks, ", "))
}

// known returns the labels of a key that workers have, or the keys if it is empty.
func known(workers []store.Capacity, key string) []string {
	found := map[string]bool{}
	for _, w := range workers {
		for k, v := range w.Labels {
			switch key {
			case "":
				found[k] = true
			case k:
				found[k+"="+v] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func named(list []string) string {
	if len(list) > maxNamed {
		return strings.Join(list[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(list)-maxNamed)
	}
	return strings.Join(list, ", ")
}

// Require returns the requirements of a build that is submitted: its own and, of what it prefers, each label that a known worker has
// together with the others. The warnings say what was dropped, and that no worker is there for the rest.
func (d *Dispatcher) Require(ctx context.Context, b store.Build, prefers build.Requirements) (build.Requirements, []string, error) {
	if b.Settings.Requires == "" && prefers == "" {
		return "", nil, nil
	}
	workers, err := d.machine.Store.Fleet.PoolWorkers(ctx, b.Pool, maxKnown)
	if err != nil {
		return "", nil, err
	}
	now := d.machine.Now()
	there := slices.DeleteFunc(slices.Clone(workers), func(w store.Capacity) bool { return !w.Online && now.Sub(w.SeenAt) > knownFor })
	required, wanted := b.Settings.Requires.Labels(), prefers.Labels()
	var warnings []string
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		if _, ok := required[key]; ok {
			continue // required is more than preferred
		}
		with := maps.Clone(required)
		with[key] = wanted[key]
		l := store.Lane{Pool: b.Pool, Platform: b.Platform, Requires: build.Require(with)}
		switch {
		case slices.ContainsFunc(there, func(w store.Capacity) bool { return w.CanBuild(l) }):
			required = with
		case !indifferent(wanted[key]):
			warnings = append(warnings, fmt.Sprintf("%s is asked for, but no worker has it with the other labels, so any worker may build: %s.",
				key+"="+wanted[key], missing(l, there, now)))
		}
	}
	l := store.Lane{Pool: b.Pool, Platform: b.Platform, Requires: build.Require(required)}
	if l.Requires != "" {
		if text := missing(l, workers, now); text != "" {
			warnings = append(warnings, fmt.Sprintf("The build waits for a worker with %s: %s. Start one with `freeagent worker --label KEY=VALUE`.", l.Requires, text))
		}
	}
	return l.Requires, warnings, nil
}

// indifferent reports whether a preferred value means whatever there is.
func indifferent(value string) bool {
	return value == "default" || value == "latest" || value == "auto"
}
