package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/order"
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

// Forecast is what is known of the waiting builds at one moment.
type Forecast struct {
	places map[string]order.Place
	groups []store.Group
	// workers of the pools in which builds with requirements wait.
	workers map[string][]store.Capacity
	at      time.Time // on the scheduler's clock
}

// forecasts keeps the last forecast. The zero value has none; it is safe for concurrent use.
type forecasts struct {
	mu   sync.Mutex
	last *Forecast
	// since are the changes that last knows of. It holds until then whatever happens, and until expires if nothing does.
	since         int64
	held, expires time.Time
}

// get returns the last forecast or computes one; callers meanwhile wait for it. changes is how many there were so far.
func (f *forecasts) get(changes int64, compute func() (*Forecast, error)) (*Forecast, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	began := time.Now()
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

// Forecast runs the dispatch rule ahead over everything that waits.
func (d *Dispatcher) Forecast(ctx context.Context) (*Forecast, error) {
	return d.forecasts.get(d.machine.Signal.Changes(), func() (*Forecast, error) {
		snap, err := d.snapshot(ctx)
		if err != nil {
			return nil, err
		}
		f := &Forecast{places: order.Simulate(snap), groups: snap.Workers, at: snap.Now}
		f.workers, err = d.poolWorkers(ctx, snap.Pending)
		return f, err
	})
}

// snapshot reads all that the forecast is made from.
func (d *Dispatcher) snapshot(ctx context.Context) (snap order.Snapshot, err error) {
	now := d.machine.Now()
	snap.World = order.World{
		Now: now, Rules: d.rules.Order(), Cost: d.estimates.cost,
		Pending: map[store.Lane][]store.Build{}, Tags: map[store.Lane]order.Tags{},
	}
	if err := d.readLoads(ctx, &snap.World); err != nil {
		return snap, err
	}
	waiting, err := d.machine.Store.Waiting(ctx)
	if err != nil {
		return snap, err
	}
	if snap.Running, err = d.machine.Store.Leased(ctx); err != nil {
		return snap, err
	}
	if snap.Workers, err = d.machine.Store.Groups(ctx, now.Add(-joining), requiring(waiting, snap.Running)...); err != nil {
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
		if err := d.readTags(ctx, &snap.World, l, builds); err != nil {
			return snap, err
		}
	}
	d.estimates.prepare(ctx, waiting)
	d.estimates.prepare(ctx, snap.Running)
	snap.Remaining = func(b store.Build) time.Duration { return d.estimates.remaining(ctx, b, now) }
	return snap, nil
}

// requiring returns the lanes with requirements that some builds are in.
func requiring(some ...[]store.Build) (lanes []store.Lane) {
	known := map[store.Lane]bool{}
	for _, builds := range some {
		for _, b := range builds {
			if l := b.Lane(); l.Requires != "" && !known[l] {
				known[l] = true
				lanes = append(lanes, l)
			}
		}
	}
	return lanes
}

// Standing is where a waiting build stands: its position, expected start and the reason why it waits.
type Standing struct {
	Position int32
	Start    time.Time
	Reason   string
}

// Standing returns where a waiting build stands. A build that came after the forecast has no position yet.
func (d *Dispatcher) Standing(f *Forecast, b store.Build) Standing {
	p := f.places[b.ID]
	st := Standing{Position: p.Position, Start: p.Start, Reason: d.reason(f, b, p)}
	if !st.Start.IsZero() && st.Start.Before(d.machine.Now()) {
		st.Start = d.machine.Now()
	}
	return st
}

// reason says for people why a build waits.
func (d *Dispatcher) reason(f *Forecast, b store.Build, p order.Place) string {
	if wait := b.NotBefore.Sub(d.machine.Now()); wait > 0 {
		return fmt.Sprintf("attempt %d was lost; the next one starts in %s", b.Attempt-1, wait.Round(time.Second))
	}
	if r := b.Settings.Requires; r != "" {
		if _, known := f.places[b.ID]; !known { // it came after the forecast
			return fmt.Sprintf("a worker with %s is looked for", r)
		}
		if text := missing(b.Lane(), f.workers[b.Pool], f.at); text != "" {
			return text
		}
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
		return NoWorker(b)
	case p.Limited == order.ProjectLimit:
		return fmt.Sprintf("project %q is at its limit of %d running builds", b.Project, d.rules.Project(b.Project).MaxRunning)
	case p.Limited == order.PoolLimit:
		return fmt.Sprintf("pool %q is at its limit of %d running builds", b.Pool, d.rules.Pool(b.Pool).MaxRunning)
	case free == 0 && b.Settings.Requires != "":
		return fmt.Sprintf("workers with %s are busy: %d of %d", b.Settings.Requires, workers, workers)
	case free == 0:
		return fmt.Sprintf("all workers that can build it are busy (%d)", workers)
	case b.State == build.Queued:
		return d.onOffer(b)
	case p.Position > int32(free): // slots of a farm
		return "builds ahead of it take the free slots"
	default:
		return "a worker is about to take it"
	}
}

// onOffer says how long a build has been offered to free workers, if that is longer than it should be.
func (d *Dispatcher) onOffer(b store.Build) string {
	age := d.machine.Now().Sub(b.LastOffered())
	if age < handout.OfferAgainAfter/2 {
		return "a worker is about to take it"
	}
	return fmt.Sprintf("offered to free workers %s ago and not taken yet; it is offered again after %s",
		age.Round(time.Second), handout.Patience(b).Round(time.Second))
}
