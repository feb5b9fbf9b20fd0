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

// A submit in progress is held by the gateway process that works on it. The process renews a lease
// in SQL while it holds any submit, and a process that gets the repeat of a held submit watches the
// lease. A wrong verdict is harmless: the first submit fixes the build's id, and the scheduler
// makes one build of an id. So the times are short.

const (
	// renewInterval is the interval of renewals. After leaseTTL without one the process counts as
	// dead: several intervals, and a stall of the disk.
	renewInterval = time.Second
	leaseTTL      = 5 * time.Second
	// legacyTTL is how long a submit of a version without leases counts as in progress.
	legacyTTL = 2 * time.Minute
	// pollInterval is how often a waiting repeat looks at the first submit.
	pollInterval = 100 * time.Millisecond
)

// processLease knows which submits this process holds, and judges whether other processes live. It
// is safe for concurrent use.
type processLease struct {
	// id of the process, new at each start.
	id    string
	sole  bool
	store *store.SubmitStore
	log   *slog.Logger

	mu sync.Mutex
	// held counts the requests that hold a build's submit.
	held map[string]int
}

func newProcessLease(st *store.SubmitStore, sole bool, log *slog.Logger) *processLease {
	return &processLease{id: build.NewID(), sole: sole, store: st, log: log, held: map[string]int{}}
}

// hold holds the build's submit until release is called. release may be called twice.
func (p *processLease) hold(buildID string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[buildID]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held[buildID]--; p.held[buildID] == 0 {
			delete(p.held, buildID)
		}
	})
}

func (p *processLease) holds(buildID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[buildID] > 0
}

func (p *processLease) holdsAny() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held) > 0
}

// renewLoop renews the lease while submits are held, until ctx ends.
func (p *processLease) renewLoop(ctx context.Context) error {
	return backoff.Loop{Doing: "renew lease of submits", Every: renewInterval, AtOnce: true, Log: p.log}.Run(ctx, func(ctx context.Context) error {
		if !p.holdsAny() {
			return nil
		}
		return p.store.RenewHolder(ctx, p.id, time.Now())
	})
}

// holderWatch judges whether the holder of a submit lives.
type holderWatch struct {
	p               *processLease
	buildID, holder string
	since           time.Time
	beat            int64
	// seenAt is when the beat was first seen, by this process's clock; zero before the first look.
	seenAt time.Time
}

func (p *processLease) watch(buildID, holder string, since time.Time) *holderWatch {
	return &holderWatch{p: p, buildID: buildID, holder: holder, since: since}
}

// isAlive reports whether the holder still works on the submit.
func (w *holderWatch) isAlive(ctx context.Context) (bool, error) {
	switch {
	case w.holder == w.p.id:
		return w.p.holds(w.buildID), nil
	case w.p.sole:
		return false, nil
	case w.holder == "":
		return time.Since(w.since) < legacyTTL, nil
	}
	beat, err := w.p.store.HolderBeat(ctx, w.holder)
	if err != nil {
		return false, err
	}
	if now := time.Now(); w.seenAt.IsZero() || beat != w.beat {
		w.beat, w.seenAt = beat, now
	}
	return time.Since(w.seenAt) < leaseTTL, nil
}
