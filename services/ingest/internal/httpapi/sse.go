package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// SSE writes server-sent events. Each write has a deadline, so a client that reads nothing is
// disconnected.
type SSE struct{ w *httpx.DeadlineWriter }

// OpenSSE sends the header of an event stream. Close it at the end.
func OpenSSE(w http.ResponseWriter) *SSE {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold live lines back
	w.WriteHeader(http.StatusOK)
	return &SSE{httpx.NewDeadlineWriter(w, httpx.StallTimeout, nil)}
}

// Close leaves the connection without a deadline.
func (s *SSE) Close() { s.w.Done() }

// Write sends events that are encoded already.
func (s *SSE) Write(p []byte) error {
	if _, err := s.w.Write(p); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

// Comment sends a line that clients ignore.
func (s *SSE) Comment(text string) error { return s.Write([]byte(": " + text + "\n\n")) }

// Event sends data as JSON, which has no line breaks of its own. An empty id sends none.
func (s *SSE) Event(name, id string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("pack event: %w", err)
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.Write([]byte("event: " + name + "\n" + id + "data: " + string(body) + "\n\n"))
}

// Flush sends what is buffered.
func (s *SSE) Flush() error {
	return s.w.Flush()
}
