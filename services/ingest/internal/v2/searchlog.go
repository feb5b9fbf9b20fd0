package v2

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/shared/api"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const (
	maxQuery = 200
	// searchTime and searchBytes bound the duration and the size of the results of one search.
	searchTime  = 5 * time.Second
	searchBytes = 4 << 20
)

// searchLog sends the lines that contain the text, ignoring case and escape sequences. A header has
// the last line searched; the client continues behind it.
func (h buildLogs) searchLog(w http.ResponseWriter, r *http.Request, req logs.Request, p logRange) {
	if p.limit == 0 {
		p.limit = defaultLines
	}
	s := &search{query: strings.ToLower(p.query), left: int(p.limit), deadline: time.Now().Add(searchTime), found: []api.LogLine{}}
	last, err := h.Logs.Reader.Read(r.Context(), req, s.lines)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	w.Header().Set(api.SearchedHeader, strconv.FormatInt(max(last, s.last), 10))
	httpx.WriteJSON(w, http.StatusOK, s.found)
}

type search struct {
	query    string
	left     int
	bytes    int
	deadline time.Time
	last     int64
	found    []api.LogLine
}

func (s *search) lines(lines []logs.Line) error {
	for _, l := range lines {
		s.last = l.Number
		if strings.Contains(strings.ToLower(logs.Plain(l.Text)), s.query) {
			s.found = append(s.found, viewLine(l))
			s.left--
			s.bytes += len(l.Text)
		}
		if s.left == 0 || s.bytes > searchBytes {
			return logarchive.ErrStop
		}
	}
	if time.Now().After(s.deadline) {
		return logarchive.ErrStop
	}
	return nil
}
