package logs

import (
	"context"
	"sync"
	"time"
)

const (
	// memory is what the rings of all feeds may take together, minRing and maxRing what one of them may.
	memory  = 64 << 20
	minRing = 64 << 10
	maxRing = 2 << 20
	// catchUps is how many followers catch up at once, each with a reader of its own for pieceBytes.
	catchUps   = 16
	pieceBytes = 512 << 10
	// settleTime is how long the last lines of a build that has ended are waited for: they follow its end through the
	// scheduler's outbox.
	settleTime = 3 * time.Second
)

// State is what a build has come to.
type State struct {
	Ended bool
	// Last is what followers are sent at the end.
	Last []byte
}

// Broadcaster lets any number of clients follow logs. It is safe for concurrent use.
type Broadcaster struct {
	reader *Reader
	state  func(ctx context.Context, id string) (State, error)
	encode func([]byte, Line) []byte
	beat   time.Duration
	ring   int // the most that one feed holds, in bytes
	// catching has a place for each follower that may catch up at once.
	catching chan struct{}

	mu    sync.Mutex
	feeds map[string]*feed
}

// BroadcastConfig says how a Broadcaster works.
type BroadcastConfig struct {
	// State asks for a build. Encode appends a line as followers get it.
	State  func(ctx context.Context, id string) (State, error)
	Encode func(b []byte, l Line) []byte
	// Beat is how often a quiet log is asked about and its followers get a sign of life.
	Beat time.Duration
}

// NewBroadcaster follows the logs of a Reader.
func NewBroadcaster(b *Reader, c BroadcastConfig) *Broadcaster {
	return &Broadcaster{
		reader: b, state: c.State, encode: c.Encode, beat: c.Beat, ring: maxRing,
		catching: make(chan struct{}, catchUps), feeds: map[string]*feed{},
	}
}

// subscribe returns the build's feed, and opens it if it is the first follower's.
func (h *Broadcaster) subscribe(id string) *feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.feeds[id]
	if r == nil {
		r = newFeed(h, id)
		h.feeds[id] = r
		go r.run()
	}
	r.subscribers++
	return r
}

// unsubscribe closes a feed with its last follower, who waits for it.
func (h *Broadcaster) unsubscribe(r *feed) {
	if h.isLast(r) {
		r.cancel()
		<-r.done
	}
}

func (h *Broadcaster) isLast(r *feed) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.subscribers--; r.subscribers > 0 {
		return false
	}
	h.forget(r)
	return true
}

// closed takes a feed that has ended out of the list: who comes now opens another.
func (h *Broadcaster) closed(r *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(r)
}

func (h *Broadcaster) forget(r *feed) {
	if h.feeds[r.id] == r {
		delete(h.feeds, r.id)
	}
}

// ringLimit is a feed's share of the memory.
func (h *Broadcaster) ringLimit() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(max(memory/max(len(h.feeds), 1), minRing), h.ring)
}
