package submit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// A submit that is under way is held by the gateway process that works on it. The process renews a lease in SQL while it holds
// any, and a process that meets such a submit watches the lease. Judging wrongly is harmless: the build's id is fixed by the first
// submit, and the scheduler makes one build of an id. So the times are short.

const (
	// beatEvery is how often a process with submits renews its lease. After deadAfter without a renewal it counts as dead:
	// several beats, and a stall of the disk.
	beatEvery = time.Second
	deadAfter = 5 * time.Second
	// legacyHold is how long a submit of a version without leases counts as under way.
	legacyHold = 2 * time.Minute
	// lookEvery is how often a waiting repeat looks at the first submit.
	lookEvery = 100 * time.Millisecond
)

// presence tells which submits this process works on, and judges whether other processes live. It is safe for concurrent use.
type presence struct {
	// id is new with each process.
	id    string
	sole  bool
	store *store.SubmitStore
	log   *slog.Logger

	mu sync.Mutex
	// working counts the requests that work on a build's submit.
	working map[string]int
}

func newPresence(st *store.SubmitStore, sole bool, log *slog.Logger) *presence {
	return &presence{id: build.NewID(), sole: sole, store: st, log: log, working: map[string]int{}}
}

// enter marks the build's submit as worked on until leave is called.
func (p *presence) enter(buildID string) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working[buildID]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.working[buildID]--; p.working[buildID] == 0 {
			delete(p.working, buildID)
		}
	})
}

func (p *presence) worksOn(buildID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.working[buildID] > 0
}

func (p *presence) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.working) > 0
}

// loop renews the lease while submits are under way, until ctx ends.
func (p *presence) loop(ctx context.Context) error {
	return backoff.Loop{Doing: "renew lease of submits", Every: beatEvery, AtOnce: true, Log: p.log}.Run(ctx, func(ctx context.Context) error {
		if !p.busy() {
			return nil
		}
		return p.store.Beat(ctx, p.id, time.Now())
	})
}

// watch follows one holder of one submit.
type watch struct {
	p               *presence
	buildID, holder string
	since           time.Time
	beat            int64
	// seen is when the beat was first seen, by this process's clock; zero before the first look.
	seen time.Time
}

func (p *presence) watch(buildID, holder string, since time.Time) *watch {
	return &watch{p: p, buildID: buildID, holder: holder, since: since}
}

// alive reports whether the holder still works on the submit.
func (w *watch) alive(ctx context.Context) (bool, error) {
	switch {
	case w.holder == w.p.id:
		return w.p.worksOn(w.buildID), nil
	case w.p.sole:
		return false, nil
	case w.holder == "":
		return time.Since(w.since) < legacyHold, nil
	}
	beat, err := w.p.store.BeatOf(ctx, w.holder)
	if err != nil {
		return false, err
	}
	if now := time.Now(); w.seen.IsZero() || beat != w.beat {
		w.beat, w.seen = beat, now
	}
	return time.Since(w.seen) < deadAfter, nil
}
