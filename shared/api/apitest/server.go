package apitest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Key is the API key that the server takes, Token the build token.
const (
	Key   = "test-key-0123456789abcdef"
	Token = "test-token-0123456789abcdef"
)

// Server is safe for concurrent use. Make it with New.
type Server struct {
	// URL is its address.
	URL string

	http    *httptest.Server
	mu      sync.Mutex
	closing chan struct{}
	changed chan struct{} // closed and made anew with each change
	builds  map[string]*record
	order   []string
	faults  []*Fault
	sent    []Submission
	seen    []string
	objects map[string][]byte
	uploads map[string]*arriving
	became  map[string]string // the build that an upload became
	warning string
	hooks   []*hook
	tokens  []*string
	answers int
	pages   map[string][]byte // by path
	named   map[string]string // the build that an idempotency key became
}

type record struct {
	api.Build

	result []byte
	lines  []api.LogLine
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{
		builds: map[string]*record{}, changed: make(chan struct{}), closing: make(chan struct{}),
		objects: map[string][]byte{}, uploads: map[string]*arriving{}, became: map[string]string{},
		named: map[string]string{},
	}
	s.http = httptest.NewServer(s.withFaults(s.routes()))
	s.URL = s.http.URL
	t.Cleanup(func() {
		close(s.closing)
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ready\n")) })
	mux.HandleFunc("POST /api/v2/builds", s.key(s.submit))
	mux.HandleFunc("GET /api/v2/builds", s.key(s.list))
	mux.HandleFunc("GET /api/v2/builds/{id}", s.keyOrToken(s.one(s.get)))
	mux.HandleFunc("GET /api/v2/builds/{id}/logs", s.keyOrToken(s.one(s.logs)))
	mux.HandleFunc("GET /api/v2/builds/{id}/result", s.keyOrToken(s.one(s.download)))
	mux.HandleFunc("POST /api/v2/builds/{id}/cancel", s.key(s.one(s.cancel)))
	mux.HandleFunc("POST /api/v2/builds/{id}/retry", s.keyOrToken(s.one(s.retry)))
	mux.HandleFunc("PUT /api/v2/builds/{id}/pin", s.key(s.one(s.pin)))
	mux.HandleFunc("DELETE /api/v2/builds/{id}/pin", s.key(s.one(s.pin)))
	for _, route := range []string{"GET /api/v2/retention", "PUT /api/v2/retention", "DELETE /api/v2/retention", "GET /api/v2/retention/plan", "POST /api/v2/retention/plan"} {
		mux.HandleFunc(route, s.key(s.page))
	}
	mux.HandleFunc("POST /api/v2/workers", s.key(s.join))
	mux.HandleFunc("GET /api/v2/workers", s.key(s.page))
	mux.HandleFunc("GET /api/v2/workers/{rest...}", s.key(s.page))
	mux.HandleFunc("GET /api/v2/stats", s.key(s.page))
	mux.HandleFunc("GET /api/v2/rules", s.key(s.page))
	mux.HandleFunc("GET /api/v2/objects", s.getObject)
	for _, method := range []string{"PUT", "PATCH", "HEAD"} {
		mux.HandleFunc(method+" /api/v2/objects", s.writeObject)
	}
	mux.HandleFunc("POST /api/v2/uploads", s.key(s.newUpload))
	s.hookRoutes(mux)
	return mux
}

// Serve has requests of a path below /api/v2 (workers, stats, retention) answered with this JSON, whatever they say.
func (s *Server) Serve(path string, body []byte) {
	s.change(func() {
		if s.pages == nil {
			s.pages = map[string][]byte{}
		}
		s.pages[api.Path+path] = body
	})
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	body, ok := s.pages[r.URL.Path]
	s.mu.Unlock()
	if !ok {
		Refuse(w, http.StatusNotFound, build.Code(build.ErrWorkerUnknown), "Worker not found")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// change does f and wakes those who follow.
func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Add makes a build known, newest. Without times it was submitted just now.
func (s *Server) Add(b api.Build, result []byte, lines ...string) {
	if b.SubmittedAt == "" {
		b.SubmittedAt = time.Now().UTC().Format(time.RFC3339)
	}
	if b.Result == nil && b.Status == "completed" {
		b.Result = Object(b.ID+".tar.gz", result)
	}
	s.change(func() {
		s.builds[b.ID] = &record{Build: b, result: result}
		s.order = append(s.order, b.ID)
	})
	for _, l := range lines {
		s.Log(b.ID, l)
	}
}

// Object describes data.
func Object(name string, data []byte) *api.Object {
	sum := sha256.Sum256(data)
	return &api.Object{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// Log adds a line to a build's log.
func (s *Server) Log(id, text string) {
	s.change(func() {
		r := s.builds[id]
		r.lines = append(r.lines, api.LogLine{
			At: time.Now().UTC().Format(time.RFC3339), Level: "info", Stage: "install", Attempt: 1, Text: text,
		})
	})
}

// Set changes a build.
func (s *Server) Set(id string, f func(*api.Build)) {
	s.change(func() { f(&s.builds[id].Build) })
}

// Finish ends a build; a completed one has result.
func (s *Server) Finish(id, status string, result []byte) {
	s.change(func() {
		r := s.builds[id]
		r.Status, r.FinishedAt = status, time.Now().UTC().Format(time.RFC3339)
		if status == "completed" {
			r.result, r.Result = result, Object(id+".tar.gz", result)
		}
		if status == "failed" {
			r.Error = "npm ci ended with exit code 1"
		}
	})
}

// Warn has each submit answered with a warning.
func (s *Server) Warn(text string) { s.change(func() { s.warning = text }) }

// Requests lists "METHOD path" of all that was asked, with the resume point of a followed log, a range or an
// upload's offset behind it.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *Server) key(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-API-Key") {
		case Key:
			next(w, r)
		case "":
			Refuse(w, http.StatusUnauthorized, "missing_credentials", "Missing X-API-Key header")
		default:
			Refuse(w, http.StatusForbidden, "wrong_credentials", "Invalid API key")
		}
	}
}

func (s *Server) keyOrToken(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-API-Key") == "" && r.Header.Get("X-Build-Token") == Token {
			next(w, r)
			return
		}
		s.key(next)(w, r)
	}
}

// Refuse answers with a problem.
func Refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) one(next func(http.ResponseWriter, *http.Request, *record)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		b := s.builds[r.PathValue("id")]
		s.mu.Unlock()
		if b == nil {
			Refuse(w, http.StatusNotFound, build.Code(build.ErrNotFound), "Build not found")
			return
		}
		next(w, r, b)
	}
}

func (s *Server) view(b *record) api.Build {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.Build
}

func (s *Server) get(w http.ResponseWriter, _ *http.Request, b *record) {
	answer(w, http.StatusOK, s.view(b))
}

func (s *Server) cancel(w http.ResponseWriter, _ *http.Request, b *record) {
	if s.view(b).Final() {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrFinished), "Build already finished")
		return
	}
	s.Finish(b.ID, "cancelled", nil)
	answer(w, http.StatusOK, s.view(b))
}

func (s *Server) retry(w http.ResponseWriter, r *http.Request, b *record) {
	old, id := s.view(b), build.NewID()
	if name := r.Header.Get("Idempotency-Key"); name != "" {
		s.mu.Lock()
		if s.named[name] == "" {
			s.named[name] = id
		}
		id = s.named[name]
		s.mu.Unlock()
	}
	s.accept(w, api.Build{
		ID: id, Platform: old.Platform, Project: old.Project, RetryOf: old.ID, Source: old.Source,
		Repository: old.Repository, Commit: old.Commit, Branch: old.Branch,
	})
}

func (s *Server) accept(w http.ResponseWriter, b api.Build) {
	b.Status, b.Pool, b.Attempt = "pending", "default", 1
	s.mu.Lock()
	known := s.builds[b.ID] != nil
	s.mu.Unlock()
	if !known {
		s.Add(b, nil)
	}
	out := api.Submitted{Build: b, AccessToken: Token}
	s.mu.Lock()
	if s.warning != "" {
		out.Warnings = []string{s.warning}
	}
	s.mu.Unlock()
	w.Header().Set("Location", api.Path+"/builds/"+b.ID)
	answer(w, http.StatusCreated, out)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	if limit == 0 {
		limit = 50
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end := len(s.order)
	if before, err := strconv.Atoi(q.Get("before")); err == nil {
		end = before
	}
	page := api.BuildList{Builds: []api.Build{}}
	for i := end - 1; i >= 0; i-- {
		b := s.builds[s.order[i]].Build
		if len(q["status"]) > 0 && !slices.Contains(q["status"], b.Status) {
			continue
		}
		if len(page.Builds) == limit {
			page.Next = strconv.Itoa(i + 1)
			break
		}
		page.Builds = append(page.Builds, b)
	}
	answer(w, http.StatusOK, page)
}

func (s *Server) join(w http.ResponseWriter, r *http.Request) {
	var req api.JoinRequest
	if json.NewDecoder(r.Body).Decode(&req) != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The body is not the JSON object expected")
		return
	}
	answer(w, http.StatusOK, api.JoinResponse{
		WorkerID: build.NewID(), Secret: "secret", BusURL: "nats://127.0.0.1:4222", Pool: req.Pool, Platforms: []string{"ios", "android"},
	})
}
