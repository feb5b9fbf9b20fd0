package logs

import (
	"context"
	"sync"
	"time"
)

const (
	// totalMemory bounds the rings of all feeds together, minRing and maxRing those of one feed.
	totalMemory = 64 << 20
	minRing     = 64 << 10
	maxRing     = 2 << 20
	// maxCatchUps bounds the followers that catch up at once, each with a reader of its own for
	// pieceBytes.
	maxCatchUps = 16
	pieceBytes  = 512 << 10
	// settleTime is how long a feed waits for the last lines of an ended build. They follow the end
	// through the scheduler's outbox.
	settleTime = 3 * time.Second
)

// State is the state of a build for its followers.
type State struct {
	Ended bool
	// Last is the last message to followers.
	Last []byte
}

// Broadcaster lets any number of clients follow logs. It is safe for concurrent use.
type Broadcaster struct {
	reader *Reader
	state  func(ctx context.Context, id string) (State, error)
	encode func([]byte, Line) []byte
	beat   time.Duration
	ring   int // limit of one feed's ring, in bytes
	// catching is a semaphore of followers that catch up.
	catching chan struct{}

	mu    sync.Mutex
	feeds map[string]*feed
}

// BroadcastConfig is the configuration of a Broadcaster.
type BroadcastConfig struct {
	// State returns the state of a build. Encode appends a line in the followers' format.
	State  func(ctx context.Context, id string) (State, error)
	Encode func(b []byte, l Line) []byte
	// Beat is the interval at which a quiet feed checks its build, and its followers get a comment.
	Beat time.Duration
}

// NewBroadcaster returns a broadcaster of a reader's logs.
func NewBroadcaster(b *Reader, c BroadcastConfig) *Broadcaster {
	return &Broadcaster{
		reader: b, state: c.State, encode: c.Encode, beat: c.Beat, ring: maxRing,
		catching: make(chan struct{}, maxCatchUps), feeds: map[string]*feed{},
	}
}

// subscribe returns the build's feed. The first follower opens it.
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

// unsubscribe leaves a feed. The last follower closes it and waits for its end.
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

// closed removes an ended feed: the next follower opens another.
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

// ringLimit returns a feed's share of the memory, in bytes.
func (h *Broadcaster) ringLimit() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(max(totalMemory/max(len(h.feeds), 1), minRing), h.ring)
}
