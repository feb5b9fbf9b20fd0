package scheduler

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// forecastFresh is how long a forecast serves at most: what another scheduler changed is seen after it.
	forecastFresh = 500 * time.Millisecond
	// A forecast that took longer than forecastQuick serves for forecastShare times as long, whatever changes meanwhile, so that
	// forecasts of a long queue take at most a tenth of one processor however many ask.
	forecastQuick = 2 * time.Millisecond
	forecastShare = 10
)

// forecast is what is known of the waiting builds at one moment.
type forecast struct {
	places map[string]dispatch.Place
	groups []store.Group
	at     time.Time // on the scheduler's clock
}

// forecasts keeps the last forecast. The zero value has none; it is safe for concurrent use.
type forecasts struct {
	changes atomic.Int64

	mu   sync.Mutex
	last *forecast
	// since are the changes that last knows of. It holds until then whatever happens, and until expires if nothing does.
	since         int64
	held, expires time.Time
}

// invalidate notes that something changed that a forecast depends on.
func (f *forecasts) invalidate() { f.changes.Add(1) }

// get returns the last forecast or computes one; callers meanwhile wait for it.
func (f *forecasts) get(compute func() (*forecast, error)) (*forecast, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	began, changes := time.Now(), f.changes.Load()
	if f.last != nil && (began.Before(f.held) || changes == f.since && began.Before(f.expires)) {
		return f.last, nil
	}
	fresh, err := compute()
	if err != nil {
		return nil, err
	}
	done := time.Now()
	f.last, f.since, f.held, f.expires = fresh, changes, done, done.Add(forecastFresh)
	if took := done.Sub(began); took > forecastQuick {
		f.held = done.Add(forecastShare * took)
	}
	return fresh, nil
}

// forecast runs the dispatch rule ahead over everything that waits.
func (s *Scheduler) forecast(ctx context.Context) (*forecast, error) {
	return s.forecasts.get(func() (*forecast, error) {
		snap, err := s.snapshot(ctx)
		if err != nil {
			return nil, err
		}
		return &forecast{places: dispatch.Simulate(snap), groups: snap.Workers, at: snap.Now}, nil
	})
}

// snapshot reads all that the forecast is made from.
func (s *Scheduler) snapshot(ctx context.Context) (snap dispatch.Snapshot, err error) {
	now := s.now()
	snap.World = dispatch.World{
		Now: now, Rules: s.rules.dispatch(), Cost: s.estimates.cost,
		Pending: map[store.Lane][]store.Build{}, Tags: map[store.Lane]dispatch.Tags{},
	}
	if snap.Workers, err = s.store.Groups(ctx, now.Add(-joining)); err != nil {
		return snap, err
	}
	if err := s.readLoads(ctx, &snap.World); err != nil {
		return snap, err
	}
	waiting, err := s.store.Waiting(ctx)
	if err != nil {
		return snap, err
	}
	for _, b := range waiting {
		switch {
		case b.State == build.Queued:
			snap.Offered = append(snap.Offered, b)
		case b.NotBefore.After(now):
			snap.Delayed = append(snap.Delayed, b)
		default:
			snap.Pending[b.Lane()] = append(snap.Pending[b.Lane()], b)
		}
	}
	for l, builds := range snap.Pending {
		if snap.Tags[l], err = s.tags(ctx, l, builds); err != nil {
			return snap, err
		}
	}
	if snap.Running, err = s.store.Leased(ctx); err != nil {
		return snap, err
	}
	s.estimates.prepare(ctx, waiting)
	s.estimates.prepare(ctx, snap.Running)
	snap.Remaining = func(b store.Build) time.Duration { return s.estimates.remaining(ctx, b, now) }
	return snap, nil
}

// standing is what a waiting build is told: position, expected start and reason.
type standing struct {
	position int32
	start    time.Time
	reason   string
}

// standing returns it for one waiting build. A build that came after the last forecast has no position yet.
func (s *Scheduler) standing(f *forecast, b store.Build) standing {
	p := f.places[b.ID]
	st := standing{position: p.Position, start: p.Start, reason: s.reason(f, b, p)}
	if !st.start.IsZero() && st.start.Before(s.now()) {
		st.start = s.now()
	}
	return st
}

// reason says for people why a build waits.
func (s *Scheduler) reason(f *forecast, b store.Build, p dispatch.Place) string {
	if wait := b.NotBefore.Sub(s.now()); wait > 0 {
		return fmt.Sprintf("attempt %d was lost; the next one starts in %s", b.Attempt-1, wait.Round(time.Second))
	}
	workers, free := 0, 0
	for _, g := range f.groups {
		if g.Can(b.Lane()) {
			workers += g.Workers
			free += g.Free
		}
	}
	switch {
	case workers == 0:
		return noWorker(b)
	case p.Limited == dispatch.ProjectLimit:
		return fmt.Sprintf("project %q is at its limit of %d running builds", b.Project, s.rules.project(b.Project).MaxRunning)
	case p.Limited == dispatch.PoolLimit:
		return fmt.Sprintf("pool %q is at its limit of %d running builds", b.Pool, s.rules.pool(b.Pool).MaxRunning)
	case free == 0:
		return fmt.Sprintf("all workers that can build it are busy (%d)", workers)
	case b.State == build.Queued:
		return s.onOffer(b)
	case p.Position > int32(free): // slots of a farm
		return "builds ahead of it take the free slots"
	default:
		return "a worker is about to take it"
	}
}

// onOffer says how long a build has been offered to free workers, if that is longer than it should be.
func (s *Scheduler) onOffer(b store.Build) string {
	age := s.now().Sub(b.LastOffered())
	if age < offerAgainAfter/2 {
		return "a worker is about to take it"
	}
	return fmt.Sprintf("offered to free workers %s ago and not taken yet; it is offered again after %s",
		age.Round(time.Second), patienceWith(b).Round(time.Second))
}
