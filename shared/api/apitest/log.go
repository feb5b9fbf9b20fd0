package apitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/api"
)

func (s builds) logs(w http.ResponseWriter, r *http.Request, b *record) {
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.follow(w, r, b)
		return
	}
	s.mu.Lock()
	lines := append([]api.LogLine{}, b.lines...)
	s.mu.Unlock()
	answer(w, http.StatusOK, lines)
}

// follow sends events as the gateway does: ids are message.line, each message here one line.
func (s builds) follow(w http.ResponseWriter, r *http.Request, b *record) {
	sent := 0
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		_, _ = fmt.Sscanf(id, "%d.", &sent) // what is no position of ours is the beginning
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": following\n\n")
	for {
		s.mu.Lock()
		lines, state, changed := slices.Clone(b.lines[min(sent, len(b.lines)):]), b.Build, s.changed
		s.mu.Unlock()
		for _, l := range lines {
			sent++
			data, _ := json.Marshal(l)
			fmt.Fprintf(w, "event: log\nid: %d.0\ndata: %s\n\n", sent, data)
			flush(w)
		}
		if state.Final() {
			data, _ := json.Marshal(state)
			fmt.Fprintf(w, "event: end\ndata: %s\n\n", data)
			return
		}
		flush(w)
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
