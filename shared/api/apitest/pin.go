package apitest

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// pin keeps a build, or lets it go.
func (s *Server) pin(w http.ResponseWriter, r *http.Request, b *record) {
	var in api.NewPin
	if r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			Refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
			return
		}
	}
	s.change(func() {
		if b.Pin = nil; r.Method == http.MethodPut {
			b.Pin = &api.Pin{PinnedAt: time.Now().UTC().Format(time.RFC3339), Note: in.Note}
		}
	})
	s.get(w, r, b)
}
