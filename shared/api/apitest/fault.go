package apitest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Fault is what happens to requests for a path. The first that matches and is not used up counts.
type Fault struct {
	// Path is the end of the requests' paths, such as /result. Empty matches all.
	Path string
	// Times is how often; 0 is once.
	Times int
	// CutAfter ends the connection after so many bytes of the answer's body.
	CutAfter int
	// Lost does what was asked and ends the connection instead of the answer.
	Lost bool
	// Silent answers nothing until the client leaves.
	Silent bool
	// Status refuses, with Code and Detail, and RetryAfter seconds if more than 0.
	Status, RetryAfter int
	Code, Detail       string
	// Handler answers in the server's place.
	Handler http.HandlerFunc
}

// Break adds a fault.
func (s *state) Break(f Fault) {
	f.Times = max(f.Times, 1)
	s.change(func() { s.faults = append(s.faults, &f) })
}

func (s *state) withFaults(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.note(r)
		switch {
		case f == nil:
			next.ServeHTTP(w, r)
		case f.Handler != nil:
			f.Handler(w, r)
		case f.Lost:
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case f.Silent:
			select { // of a body that nobody reads the server does not notice the end
			case <-r.Context().Done():
			case <-s.closing:
			}
		case f.Status != 0:
			if f.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
			}
			Refuse(w, f.Status, f.Code, f.Detail)
		default:
			next.ServeHTTP(&cutter{ResponseWriter: w, left: f.CutAfter}, r)
		}
	})
}

// note records a request and returns its fault, if any.
func (s *state) note(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Last-Event-ID")+r.Header.Get("Range")+r.Header.Get(api.OffsetHeader)))
	for i, f := range s.faults {
		if !strings.HasSuffix(r.URL.Path, f.Path) {
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return f
	}
	return nil
}

// cutter breaks the connection in the middle of an answer.
type cutter struct {
	http.ResponseWriter

	left int
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; err == nil && n < len(p) {
		flush(c.ResponseWriter)
		panic(http.ErrAbortHandler)
	}
	return n, err
}
