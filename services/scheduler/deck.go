package scheduler

import (
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// dealFor is how long what was found may be dealt. A choice that is so old is as good as one that was overtaken on its way;
// whether the build is still to be had is decided when it is taken.
const dealFor = 50 * time.Millisecond

// deck deals the builds that polling workers could take, each to one poll. When fifty workers poll at once, they would all find
// the same first build, and all but one search again; so the search is made once and its result dealt out. What is submitted
// meanwhile has the search made anew.
type deck struct {
	mu    sync.Mutex
	lanes map[string]*hand
}

// hand is what workers of the same abilities may take, the first one first.
type hand struct {
	mu    sync.Mutex
	cards []store.Build
	found time.Time
}

// deal gives the next build for a worker, nil if there is none. find searches; it is called by one poll at a time.
func (d *deck) deal(w store.Worker, find func() ([]store.Build, error)) (*store.Build, error) {
	h := d.hand(w)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.cards) == 0 || time.Since(h.found) > dealFor {
		began := time.Now()
		cards, err := find()
		if err != nil {
			return nil, err
		}
		h.cards, h.found = cards, began
	}
	if len(h.cards) == 0 {
		return nil, nil //nolint:nilnil // nothing to do is a normal answer
	}
	b := h.cards[0]
	h.cards = h.cards[1:]
	return &b, nil
}

// maxHands bounds the kinds of workers that are remembered.
const maxHands = 1000

func (d *deck) hand(w store.Worker) *hand {
	kind := w.Pool
	for _, p := range w.Platforms {
		kind += " " + string(p)
	}
	if w.Draining {
		kind += " draining"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.lanes[kind]
	if h == nil {
		if d.lanes == nil || len(d.lanes) >= maxHands {
			d.lanes = map[string]*hand{}
		}
		h = &hand{}
		d.lanes[kind] = h
	}
	return h
}

// shuffle has the next poll search anew.
func (d *deck) shuffle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.lanes)
}
