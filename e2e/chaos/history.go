package chaos

import (
	"sync"
	"time"
)

// Call is what a client asked and was told.
type Call struct {
	// Kind is submit or cancel.
	Kind string `json:"kind"`
	// Source is the SHA-256 of what a submit sent, which no other submit sends; Size is in bytes.
	Source string `json:"source,omitempty"`
	Size   int    `json:"size,omitempty"`
	// Build is known once it was acknowledged, or was asked for.
	Build string    `json:"build,omitempty"`
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
	// Acknowledged: the answer was yes. Else nobody knows if it happened, unless Refused says that it did not.
	Acknowledged bool   `json:"acknowledged"`
	Refused      bool   `json:"refused,omitempty"`
	Error        string `json:"error,omitempty"`
}

// history collects calls; it is safe for concurrent use.
type history struct {
	mu    sync.Mutex
	calls []Call
}

func (h *history) add(c Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

func (h *history) all() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Call(nil), h.calls...)
}

// acknowledged counts the submits that were.
func (h *history) acknowledged() (n int) {
	for _, c := range h.all() {
		if c.Kind == submit && c.Acknowledged {
			n++
		}
	}
	return n
}

const (
	submit = "submit"
	cancel = "cancel"
)
