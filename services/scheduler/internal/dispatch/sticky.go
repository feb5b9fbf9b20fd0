package dispatch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/order"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// stickyFor is how long a build waits for the worker that built its project last, if that one has a free slot.
	stickyFor = time.Second
	// maxRecent bounds the projects and branches whose last worker is remembered.
	maxRecent = 20_000
	// recentFresh is how long it is believed that no worker has built a branch.
	recentFresh = time.Minute
	// recentOf is how many of a project's last completed builds are looked at.
	recentOf = 20
)

// builtID is what a worker keeps caches for: see "scopes of trust" in docs/decisions/0045.
type builtID struct {
	project  string
	platform build.Platform
	branch   string
}

// recent remembers which worker built a project's branch last. What this process did not see it reads once from SQL. It is safe for
// concurrent use.
type recent struct {
	read func(ctx context.Context, project string, p build.Platform, n int) ([]store.Build, error)

	mu    sync.Mutex
	known *lru.Cache[builtID, estimate[string]]
}

func newRecent(read func(context.Context, string, build.Platform, int) ([]store.Build, error)) (*recent, error) {
	known, err := lru.New[builtID, estimate[string]](maxRecent)
	if err != nil {
		return nil, fmt.Errorf("make memory of workers: %w", err)
	}
	return &recent{read: read, known: known}, nil
}

// built notes that a worker has begun a build.
func (r *recent) built(b store.Build) {
	if b.Project == "" { // keeps no caches
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known.Add(builtID{b.Project, b.Platform, b.Origin.Branch}, estimate[string]{b.WorkerID, time.Now()})
}

// worker returns the worker that probably has caches for a build: the last one that built its branch, else a trusted one, whose caches all
// branches read. It is empty if there is none.
func (r *recent) worker(ctx context.Context, b store.Build) (string, error) {
	if b.Project == "" {
		return "", nil
	}
	ids := make([]builtID, 0, 1+len(trusted))
	for _, branch := range append([]string{b.Origin.Branch}, trusted...) {
		ids = append(ids, builtID{b.Project, b.Platform, branch})
	}
	worker, known := r.first(ids)
	if known {
		return worker, nil
	}
	builds, err := r.read(ctx, b.Project, b.Platform, recentOf)
	if err != nil {
		return "", err
	}
	r.fill(ids, builds)
	worker, _ = r.first(ids)
	return worker, nil
}

// trusted are the branches whose caches builds of all branches read: a worker trusts these unless it is configured otherwise.
var trusted = []string{"main", "master"} //nolint:gochecknoglobals // a constant

// first returns the worker of the first branch that has one. known is false if one before it has to be read.
func (r *recent) first(ids []builtID) (worker string, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		last, ok := r.known.Get(id)
		switch {
		case ok && last.value != "":
			return last.value, true
		case !ok || time.Since(last.at) >= recentFresh:
			return "", false
		}
	}
	return "", true
}

// fill remembers the last builds of some branches, the newest first, where no later one is known.
func (r *recent) fill(ids []builtID, builds []store.Build) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if last, ok := r.known.Peek(id); ok && last.value != "" {
			continue
		}
		last := ""
		if i := slices.IndexFunc(builds, func(b store.Build) bool { return b.Origin.Branch == id.branch }); i >= 0 {
			last = builds[i].WorkerID
		}
		r.known.Add(id, estimate[string]{last, time.Now()})
	}
}

// withoutSticky offers builds to the workers that built their projects last, if those have a free slot now, and returns the others, which
// any worker may have. A build that such a worker does not claim within stickyFor is among them.
func (o *offers) withoutSticky(ctx context.Context, w order.World, builds []store.Build) ([]store.Build, error) {
	now := o.machine.Now()
	var rest, wanted []store.Build
	workers := map[string]string{} // by build
	for _, b := range builds {
		last, offered := o.last(b)
		if offered && now.Sub(last.at) < stickyFor {
			continue
		}
		id := ""
		if !offered && b.Attempt == 1 && choice(w, b.Lane()) {
			var err error
			if id, err = o.recent.worker(ctx, b); err != nil {
				return nil, err
			}
		}
		if id == "" {
			rest = append(rest, b)
			continue
		}
		workers[b.ID] = id
		wanted = append(wanted, b)
	}
	if len(wanted) == 0 {
		return rest, nil
	}
	left, err := o.sticky(ctx, wanted, workers)
	return append(rest, left...), err
}

// choice reports whether a lane has several workers, and free slots that no hand-out on the queue is about to take.
func choice(w order.World, l store.Lane) bool {
	workers, free := 0, 0
	for _, g := range w.Workers {
		if g.Can(l) {
			workers += g.Workers
			free += g.Free
		}
	}
	return workers > 1 && free > w.Queued[l]
}

// sticky offers builds to the workers named for them, and returns those whose worker cannot take them now.
func (o *offers) sticky(ctx context.Context, builds []store.Build, workers map[string]string) (left []store.Build, err error) {
	ids := map[string]bool{}
	for _, b := range builds {
		ids[workers[b.ID]] = true
	}
	now := o.machine.Now()
	able := map[string]store.Capacity{}
	for id := range ids {
		c, ok, err := o.machine.Store.Fleet.OfferTarget(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			able[id] = c
		}
	}
	promised := o.promised(now.Add(-offerAgainAfter))
	offered := false
	for _, b := range builds {
		id := workers[b.ID]
		c, ok := able[id]
		if !ok || !c.CanBuild(b.Lane()) || int(c.Slots-c.Held) <= promised[id] {
			left = append(left, b)
			continue
		}
		promised[id]++
		offered = true
		o.put(b, offer{at: now, worker: id})
		if err := o.send(ctx, b, id, stickyFor); err != nil {
			return nil, err
		}
	}
	if offered {
		time.AfterFunc(stickyFor, o.machine.Signal.Changed) // a round for those that are not claimed
	}
	return left, nil
}
