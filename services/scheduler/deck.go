package scheduler

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

const (
	// dealFor is how long what was found may be dealt. A choice that is so old is as good as one that was overtaken on its way;
	// whether the build is still to be had is decided when it is taken.
	dealFor = 50 * time.Millisecond
	// searchShare bounds what searching takes of the time.
	searchShare = 4
	// takeTime is ample for the taking of a build that was dealt. If that failed, the build is dealt again after it.
	takeTime = 2 * time.Second
	// maxHands bounds the kinds of workers that are remembered, maxTaking the builds.
	maxHands  = 1000
	maxTaking = 10_000
)

// deck deals the builds that polling workers could take, each to one poll. When fifty workers poll at once, they would all find
// the same first build, and all but one search again; so the search is made once and its result dealt out. What is submitted
// meanwhile has the search made anew.
type deck struct {
	shuffled atomic.Int64 // how often

	mu    sync.Mutex
	hands map[string]*hand
	// taking are those that were dealt and may still look as if they were to be had.
	taking map[card]time.Time
}

type card struct {
	id      string
	attempt int32
}

// hand is what workers of the same abilities may take, the first one first. Its lock is held during a search, so that all who
// wait for one share its result.
type hand struct {
	mu       sync.Mutex
	cards    []store.Build
	until    time.Time
	shuffled int64
}

// deal returns the next build for a worker, nil if there is none.
func (d *deck) deal(w store.Worker, find func() ([]store.Build, error)) (*store.Build, error) {
	h := d.hand(w)
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := d.next(h); b != nil {
		return b, nil
	}
	began, shuffled := time.Now(), d.shuffled.Load()
	cards, err := find()
	if err != nil {
		return nil, err
	}
	// A slow search is dealt for longer: else everybody would stand in line for a search of his own.
	h.cards, h.shuffled, h.until = cards, shuffled, time.Now().Add(max(dealFor, searchShare*time.Since(began)))
	return d.next(h), nil
}

// next takes the first card that nobody else is taking.
func (d *deck) next(h *hand) *store.Build {
	now := time.Now()
	if now.After(h.until) || h.shuffled != d.shuffled.Load() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(h.cards) > 0 {
		b := h.cards[0]
		h.cards = h.cards[1:]
		c := card{b.ID, b.Attempt}
		if since, ok := d.taking[c]; ok && now.Sub(since) < takeTime {
			continue
		}
		d.note(c, now)
		return &b
	}
	return nil
}

// putBack has a build dealt again that was not taken after all.
func (d *deck) putBack(b store.Build) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.taking, card{b.ID, b.Attempt})
	d.shuffle()
}

// note is called with mu held.
func (d *deck) note(c card, now time.Time) {
	if len(d.taking) >= maxTaking {
		for old, since := range d.taking {
			if now.Sub(since) >= takeTime {
				delete(d.taking, old)
			}
		}
	}
	if d.taking == nil || len(d.taking) >= maxTaking {
		d.taking = map[card]time.Time{}
	}
	d.taking[c] = now
}

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
	h := d.hands[kind]
	if h == nil {
		if d.hands == nil || len(d.hands) >= maxHands {
			d.hands = map[string]*hand{}
		}
		h = &hand{}
		d.hands[kind] = h
	}
	return h
}

// shuffle has the next poll search anew.
func (d *deck) shuffle() { d.shuffled.Add(1) }
