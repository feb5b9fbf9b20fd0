package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// sse writes server-sent events. A client that takes nothing is given up by the deadline of each write.
type sse struct {
	w  *patient
	rc *http.ResponseController
}

func openSSE(w http.ResponseWriter) *sse {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold live lines back
	w.WriteHeader(http.StatusOK)
	p := newPatient(w, nil)
	return &sse{w: p, rc: p.rc}
}

func (s *sse) close() { s.w.done() }

func (s *sse) write(text string) error { return s.bytes([]byte(text)) }

func (s *sse) bytes(p []byte) error {
	if _, err := s.w.Write(p); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

func (s *sse) comment(text string) error { return s.write(": " + text + "\n\n") }

// event sends data as JSON, which has no line breaks of its own.
func (s *sse) event(name, id string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("pack event: %w", err)
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.write("event: " + name + "\n" + id + "data: " + string(body) + "\n\n")
}

func (s *sse) flush() error {
	if err := s.rc.Flush(); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}
