// Package admission bounds the builds that wait.
//
// The figure is counted in SQL now and then, and counted up here between: the bound is there to stop a flood, not to be exact to the
// build. A submit is refused only by a figure that was counted after the submit arrived.
package admission

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// minInterval is the least time between two counts for submits that a full queue is about to refuse. All that arrive meanwhile wait for
// one count, so a flood of them costs twenty counts a second.
const minInterval = 50 * time.Millisecond

// Counter counts the waiting builds. It is safe for concurrent use.
type Counter struct {
	store *store.Store
	limit int64

	waiting atomic.Int64
	// admitting counts the submits under way.
	admitting atomic.Int64
	// mu guards counted, when waiting was last counted.
	mu      sync.Mutex
	counted time.Time
}

// New returns a counter that admits builds while fewer than limit wait.
func New(st *store.Store, limit int64) *Counter { return &Counter{store: st, limit: limit} }

// Waiting returns how many builds wait, as far as it is known.
func (c *Counter) Waiting() int64 { return c.waiting.Load() }

// Admit runs insert, which adds one build. It returns build.ErrQueueFull if there is no room.
func (c *Counter) Admit(ctx context.Context, insert func() error) error {
	c.admitting.Add(1)
	defer c.admitting.Add(-1)
	if err := c.reserve(ctx); err != nil {
		return err
	}
	if err := insert(); err != nil {
		c.waiting.Add(-1)
		return err
	}
	return nil
}

func (c *Counter) reserve(ctx context.Context) error {
	arrived := time.Now()
	if c.waiting.Add(1) <= c.limit {
		return nil
	}
	err := c.countAfter(ctx, arrived)
	if err == nil && c.waiting.Load() <= c.limit {
		return nil
	}
	c.waiting.Add(-1)
	if err == nil {
		err = fmt.Errorf("%w: %d builds wait already", build.ErrQueueFull, c.limit)
	}
	return err
}

// countAfter makes sure that the waiting builds were counted after t.
func (c *Counter) countAfter(ctx context.Context, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counted.After(t) {
		return nil
	}
	if err := backoff.Sleep(ctx, minInterval-time.Since(c.counted)); err != nil {
		return err
	}
	return c.count(ctx)
}

// Refresh counts anew if the figure is older than maxAge. Counting visits every waiting build.
func (c *Counter) Refresh(ctx context.Context, maxAge time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.counted) < maxAge {
		return nil
	}
	return c.count(ctx)
}

// count needs mu. It may count submits under way twice, until the next time, and never misses one.
func (c *Counter) count(ctx context.Context) error {
	began := time.Now()
	was, admitting := c.waiting.Load(), c.admitting.Load()
	waiting, _, err := c.store.Summary(ctx)
	if err != nil {
		return err
	}
	c.waiting.Add(waiting + admitting - was)
	c.counted = began
	return nil
}
