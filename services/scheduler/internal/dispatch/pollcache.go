package dispatch

import (
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
)

const (
	// cacheFor is how long candidates are used. A choice that is so old is as good as one that was overtaken on its way; the claim
	// decides whether the build can still be had.
	cacheFor = 50 * time.Millisecond
	// searchShare bounds what searching takes of the time: a slow search is used for longer, else each poll would wait for one of its own.
	searchShare = 4
	// claimTime is ample for the claim of a candidate. If that failed, the candidate is returned again after it.
	claimTime = 2 * time.Second
	// maxKinds bounds the kinds of workers that are remembered, maxClaiming the builds.
	maxKinds    = 1000
	maxClaiming = 10_000
)

// pollCache gives each poll a different candidate from one search. When fifty workers poll at once, they would all find the same first
// build, and all but one search again. What is submitted meanwhile has the search made anew. It is safe for concurrent use.
type pollCache struct {
	// signal counts the arrivals, each of which has the search made anew.
	signal *transition.Signal

	mu    sync.Mutex
	kinds *lru.Cache[string, *candidates]
	// claiming are the candidates that a poll was given and may still look as if they could be had, and since when.
	claiming *lru.Cache[attemptID, time.Time]
}

type attemptID struct {
	build  string
	number int32
}

func newPollCache(signal *transition.Signal) (*pollCache, error) {
	kinds, err := lru.New[string, *candidates](maxKinds)
	if err != nil {
		return nil, fmt.Errorf("make poll cache: %w", err)
	}
	claiming, err := lru.New[attemptID, time.Time](maxClaiming)
	if err != nil {
		return nil, fmt.Errorf("make poll cache: %w", err)
	}
	return &pollCache{signal: signal, kinds: kinds, claiming: claiming}, nil
}

// candidates are what workers of one kind may claim, the first one first. Its lock is held during a search, so that all who wait for
// one share its result.
type candidates struct {
	mu       sync.Mutex
	builds   []store.Build
	until    time.Time
	arrivals int64
}

// Next returns the next candidate for a worker, nil if there is none.
func (c *pollCache) Next(w store.Worker, find func() ([]store.Build, error)) (*store.Build, error) {
	k := c.kind(w)
	k.mu.Lock()
	defer k.mu.Unlock()
	if b := c.next(k); b != nil {
		return b, nil
	}
	began, arrivals := time.Now(), c.signal.Arrivals()
	found, err := find()
	if err != nil {
		return nil, err
	}
	k.builds, k.arrivals, k.until = found, arrivals, time.Now().Add(max(cacheFor, searchShare*time.Since(began)))
	return c.next(k), nil
}

// next returns the first candidate that no other poll is claiming.
func (c *pollCache) next(k *candidates) *store.Build {
	now := time.Now()
	if now.After(k.until) || k.arrivals != c.signal.Arrivals() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(k.builds) > 0 {
		b := k.builds[0]
		k.builds = k.builds[1:]
		id := attemptID{b.ID, b.Attempt}
		if since, ok := c.claiming.Get(id); ok && now.Sub(since) < claimTime {
			continue
		}
		c.claiming.Add(id, now)
		return &b
	}
	return nil
}

// Forget makes a candidate that was not claimed available to other polls.
func (c *pollCache) Forget(b store.Build) {
	c.claiming.Remove(attemptID{b.ID, b.Attempt})
	c.signal.Invalidate()
}

// kind returns the candidates of all workers that may claim the same builds.
func (c *pollCache) kind(w store.Worker) *candidates {
	key := w.Pool
	for _, p := range w.Platforms {
		key += " " + string(p)
	}
	if w.Draining {
		key += " draining"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kinds.Get(key)
	if !ok {
		k = &candidates{}
		c.kinds.Add(key, k)
	}
	return k
}
