package logbook

import (
	"context"
	"sync"
	"time"
)

const (
	// memory is what the rings of all rooms may take together, minRing and maxRing what one of them may.
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

// Hub lets any number of clients follow logs. It is safe for concurrent use.
type Hub struct {
	book   *Book
	state  func(ctx context.Context, id string) (State, error)
	encode func([]byte, Line) []byte
	beat   time.Duration
	ring   int // the most that one room holds, in bytes
	// catching has a place for each follower that may catch up at once.
	catching chan struct{}

	mu    sync.Mutex
	rooms map[string]*room
}

// HubConfig says how a Hub works.
type HubConfig struct {
	// State asks for a build. Encode appends a line as followers get it.
	State  func(ctx context.Context, id string) (State, error)
	Encode func(b []byte, l Line) []byte
	// Beat is how often a quiet log is asked about and its followers get a sign of life.
	Beat time.Duration
}

// NewHub follows the logs of a Book.
func NewHub(b *Book, c HubConfig) *Hub {
	return &Hub{
		book: b, state: c.State, encode: c.Encode, beat: c.Beat, ring: maxRing,
		catching: make(chan struct{}, catchUps), rooms: map[string]*room{},
	}
}

// enter gives the build's room, and opens it if it is the first follower's.
func (h *Hub) enter(id string) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[id]
	if r == nil {
		r = newRoom(h, id)
		h.rooms[id] = r
		go r.run()
	}
	r.guests++
	return r
}

// leave closes a room with its last follower, who waits for it.
func (h *Hub) leave(r *room) {
	if h.isLast(r) {
		r.cancel()
		<-r.done
	}
}

func (h *Hub) isLast(r *room) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.guests--; r.guests > 0 {
		return false
	}
	h.forget(r)
	return true
}

// closed takes a room that has ended out of the list: who comes now opens another.
func (h *Hub) closed(r *room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(r)
}

func (h *Hub) forget(r *room) {
	if h.rooms[r.id] == r {
		delete(h.rooms, r.id)
	}
}

// ringLimit is a room's share of the memory.
func (h *Hub) ringLimit() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(max(memory/max(len(h.rooms), 1), minRing), h.ring)
}
