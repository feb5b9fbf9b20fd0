package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/protobuf/proto"

	"github.com/nats-io/nats.go"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// offerAgainAfter is how long a worker with a free slot has to claim what it is offered, before the offer goes to another one. It is
	// also how often the next slots of busy workers are asked for.
	offerAgainAfter = 2 * time.Second
	// reserveFor is how long a busy worker holds its next slot for an offer that is not repeated.
	reserveFor = 3 * offerAgainAfter
	// maxReserved bounds the busy workers that are asked for their next slot, for one build.
	maxReserved = 32
)

// offers sends offers, and remembers which attempts were offered to which workers. The memory is only a memory of this process: a build that is offered stays
// pending in SQL, so one whose offer is forgotten is offered again. It is safe for concurrent use.
type offers struct {
	machine *transition.Machine
	nc      *nats.Conn
	recent  *recent

	mu   sync.Mutex
	sent *lru.Cache[attemptID, offer]
}

// offer is the last offer of an attempt.
type offer struct {
	at time.Time
	// worker had a free slot for it; empty if next slots of busy workers were asked for.
	worker string
	// tried are the workers that did not claim it.
	tried []string
}

func newOffers(machine *transition.Machine, nc *nats.Conn) (*offers, error) {
	sent, err := lru.New[attemptID, offer](maxClaiming)
	if err != nil {
		return nil, fmt.Errorf("make memory of offers: %w", err)
	}
	r, err := newRecent(machine.Store.Fleet.LastCompleted)
	if err != nil {
		return nil, err
	}
	return &offers{machine: machine, nc: nc, recent: r, sent: sent}, nil
}

// last returns the last offer of an attempt.
func (o *offers) last(b store.Build) (offer, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent.Get(attemptID{b.ID, b.Attempt})
}

func (o *offers) put(b store.Build, last offer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent.Add(attemptID{b.ID, b.Attempt}, last)
}

func (o *offers) forget(b store.Build) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent.Remove(attemptID{b.ID, b.Attempt})
}

// promised counts the free slots of workers that offers since then are for.
func (o *offers) promised(since time.Time) map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := map[string]int{}
	for _, last := range o.sent.Values() {
		if last.worker != "" && last.at.After(since) {
			n[last.worker]++
		}
	}
	return n
}

// required offers builds with requirements to workers that meet them: each to one with a free slot, else to busy ones, which hold
// their next slot for it. Without the latter a steady flow of builds without requirements would take each slot as it becomes free.
func (o *offers) required(ctx context.Context, builds []store.Build) error {
	now := o.machine.Now()
	pools := map[string][]store.Build{}
	for _, b := range builds {
		if last, ok := o.last(b); !ok || now.Sub(last.at) >= offerAgainAfter {
			pools[b.Pool] = append(pools[b.Pool], b)
		}
	}
	for pool, due := range pools {
		workers, err := o.machine.Store.Fleet.OfferTargets(ctx, pool)
		if err != nil {
			return err
		}
		free := freeSlots(workers, o.promised(now.Add(-offerAgainAfter)))
		for _, b := range due {
			if err := o.one(ctx, b, workers, free); err != nil {
				return err
			}
		}
	}
	return nil
}

// freeSlots returns the free slots of workers that are not promised.
func freeSlots(workers []store.Capacity, promised map[string]int) map[string]int {
	free := map[string]int{}
	for _, w := range workers {
		free[w.ID] = int(w.Slots-w.Held) - promised[w.ID]
	}
	return free
}

func (o *offers) one(ctx context.Context, b store.Build, workers []store.Capacity, free map[string]int) error {
	able := slices.DeleteFunc(slices.Clone(workers), func(w store.Capacity) bool { return !w.CanBuild(b.Lane()) })
	last, _ := o.last(b)
	next := offer{at: o.machine.Now()}
	if last.worker != "" {
		next.tried = append(slices.Clone(last.tried), last.worker)
	}
	idle := slices.DeleteFunc(slices.Clone(able), func(w store.Capacity) bool { return free[w.ID] <= 0 })
	if len(idle) > 0 {
		// Those that did not claim it are asked again once all have been.
		tried := func(w store.Capacity) int { return min(1, 1+slices.Index(next.tried, w.ID)) }
		recent, err := o.recent.worker(ctx, b)
		if err != nil {
			return err
		}
		other := func(w store.Capacity) int { // 0 for the worker that has the caches
			if w.ID == recent {
				return 0
			}
			return 1
		}
		w := slices.MinFunc(idle, func(a, b store.Capacity) int {
			return cmp.Or(cmp.Compare(tried(a), tried(b)), cmp.Compare(other(a), other(b)), cmp.Compare(free[b.ID], free[a.ID]))
		})
		if tried(w) > 0 {
			next.tried = nil
		}
		next.worker = w.ID
		free[w.ID]--
		o.put(b, next)
		return o.send(ctx, b, w.ID, offerAgainAfter)
	}
	o.put(b, next)
	for _, w := range able[:min(len(able), maxReserved)] {
		if err := o.send(ctx, b, w.ID, reserveFor); err != nil {
			return err
		}
	}
	return nil
}

// send tells a worker that it may claim a build.
func (o *offers) send(ctx context.Context, b store.Build, workerID string, valid time.Duration) error {
	data, err := proto.Marshal(&eventsv1.Control{Order: &eventsv1.Control_Offer{Offer: &eventsv1.Offer{
		BuildId: b.ID, Attempt: b.Attempt, ValidMs: int32(valid / time.Millisecond), //nolint:gosec // seconds
	}}})
	if err != nil {
		return fmt.Errorf("pack offer: %w", err)
	}
	o.machine.Log.DebugContext(ctx, "build offered", "build_id", b.ID, "attempt", b.Attempt, "worker_id", workerID, "valid", valid)
	if err := o.nc.Publish(bus.ControlSubject(workerID), data); err != nil {
		return fmt.Errorf("offer build %s: %w", b.ID, err)
	}
	return nil
}
