package worker

import (
	"context"
	"sync"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// lease names an attempt of a build.
type lease struct {
	build   string
	attempt int32
}

// grip is how a running attempt is ended: stop ends the work, and its outcome is still told; drop ends everything, and
// nothing more is said.
type grip struct{ stop, drop context.CancelCauseFunc }

// holding is what this worker runs. The zero value is empty; it is safe for concurrent use.
type holding struct {
	mu    sync.Mutex
	grips map[lease]grip
}

// add says false if the attempt runs here already.
func (h *holding) add(l lease, g grip) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, runs := h.grips[l]; runs {
		return false
	}
	if h.grips == nil {
		h.grips = map[lease]grip{}
	}
	h.grips[l] = g
	return true
}

func (h *holding) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.grips) == 0
}

func (h *holding) remove(l lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.grips, l)
}

// drop ends an attempt; one that does not run here is nobody's concern.
func (h *holding) drop(l lease, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g, ok := h.grips[l]; ok {
		g.drop(why)
	}
}

func (h *holding) dropAll(why error) {
	h.each(func(g grip) { g.drop(why) })
}

func (h *holding) stopAll(why error) {
	h.each(func(g grip) { g.stop(why) })
}

func (h *holding) each(f func(grip)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.grips {
		f(g)
	}
}

func (h *holding) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.grips)
}

// leases as the scheduler is told of them.
func (h *holding) leases() []*schedulerv1.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*schedulerv1.Lease, 0, len(h.grips))
	for l := range h.grips {
		list = append(list, &schedulerv1.Lease{BuildId: l.build, Attempt: l.attempt})
	}
	return list
}
