package apitest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Server is safe for concurrent use. Make it with New or NewServer.
type Server struct {
	// URL is its address.
	URL string

	*state
	http *httptest.Server
}

// state is what the server knows. Its exported methods are those of Server.
type state struct {
	mu      sync.Mutex
	closing chan struct{}
	changed chan struct{} // closed and replaced with each change
	faults  []*Fault
	// requests that came, as Requests returns them.
	requests []string
	// pages are answers by path.
	pages map[string][]byte

	builds map[string]*record
	// order is that of their submits.
	order       []string
	submissions []Submission
	warning     string
	// retries are builds by idempotency key.
	retries map[string]string

	// numbers are counters by project and platform.
	numbers map[[2]string]api.BuildNumber

	// objects are by ticket, uploads by id.
	objects map[string][]byte
	uploads map[string]*incoming
	// maxSource is 0 for a size that nothing reaches.
	maxSource atomic.Int64
	// submitted are builds by the upload that they were made of.
	submitted map[string]string

	// variables are by project.
	variables map[string][]api.Variable

	webhooks []*hook
	// tokens are those that webhooks were created with.
	tokens []*string
	// status is what receivers of webhooks answer.
	status int
}

type record struct {
	api.Build

	result    []byte
	artifacts []byte
	lines     []api.LogLine
}

// Handlers by what they are about.
type (
	builds   struct{ *state }
	objects  struct{ *state }
	webhooks struct{ *state }

	variables struct{ *state }
)

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := NewServer()
	t.Cleanup(s.Close)
	return s
}

// NewServer starts a server. The caller closes it.
func NewServer() *Server {
	s := &Server{state: &state{
		changed: make(chan struct{}), closing: make(chan struct{}), pages: map[string][]byte{},
		builds: map[string]*record{}, retries: map[string]string{},
		numbers: map[[2]string]api.BuildNumber{},
		objects: map[string][]byte{}, uploads: map[string]*incoming{}, submitted: map[string]string{},
		variables: map[string][]api.Variable{},
	}}
	s.http = httptest.NewServer(s.withFaults(s.routes()))
	s.URL = s.http.URL
	return s
}

// Close ends the server and its connections.
func (s *Server) Close() {
	close(s.closing)
	s.http.CloseClientConnections()
	s.http.Close()
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ready\n")) })
	builds{s.state}.routes(mux)
	numbers{s.state}.routes(mux)
	objects{s.state}.routes(mux)
	webhooks{s.state}.routes(mux)
	variables{s.state}.routes(mux)
	for _, route := range []string{
		"GET /retention", "PUT /retention", "DELETE /retention", "GET /retention/plan", "POST /retention/plan",
		"GET /workers", "GET /workers/{rest...}", "GET /stats", "GET /rules",
	} {
		method, path, _ := strings.Cut(route, " ")
		mux.HandleFunc(method+" "+api.Path+path, key(s.page))
	}
	mux.HandleFunc("POST "+api.Path+"/workers", key(join))
	return mux
}

// Serve makes body the answer to all requests of a path below /api/v2 (workers, stats, retention).
func (s *state) Serve(path string, body []byte) {
	s.change(func() { s.pages[api.Path+path] = body })
}

func (s *state) page(w http.ResponseWriter, r *http.Request) {
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

// change calls f with the lock held and wakes followers.
func (s *state) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Add adds a build, the newest. Without times it was submitted just now.
func (s *state) Add(b api.Build, result []byte, lines ...string) {
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

// Keep gives a build an archive of files that it kept besides its result.
func (s *state) Keep(id string, data []byte) {
	s.change(func() {
		r, o := s.builds[id], Object("build-artifacts.tar.gz", data)
		r.artifacts, r.Artifacts = data, &api.Artifacts{Name: o.Name, Size: o.Size, SHA256: o.SHA256, Files: 1}
	})
}

// Object describes data.
func Object(name string, data []byte) *api.Object {
	sum := sha256.Sum256(data)
	return &api.Object{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// Log adds a line to a build's log.
func (s *state) Log(id, text string) {
	s.change(func() {
		r := s.builds[id]
		r.lines = append(r.lines, api.LogLine{
			At: time.Now().UTC().Format(time.RFC3339), Level: "info", Stage: "install", Attempt: 1, Text: text,
		})
	})
}

// Set changes a build.
func (s *state) Set(id string, f func(*api.Build)) {
	s.change(func() { f(&s.builds[id].Build) })
}

// Finish ends a build; a completed one has result.
func (s *state) Finish(id, status string, result []byte) {
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

// Warn adds a warning to the answer of each submit.
func (s *state) Warn(text string) { s.change(func() { s.warning = text }) }

// Requests lists "METHOD path" of all requests, followed by the resume point of a log, a range or an upload's offset.
func (s *state) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func key(next http.HandlerFunc) http.HandlerFunc {
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

func keyOrToken(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-API-Key") == "" && r.Header.Get("X-Build-Token") == Token {
			next(w, r)
			return
		}
		key(next)(w, r)
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

func join(w http.ResponseWriter, r *http.Request) {
	var req api.JoinRequest
	if json.NewDecoder(r.Body).Decode(&req) != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The body is not the JSON object expected")
		return
	}
	answer(w, http.StatusOK, api.JoinResponse{
		WorkerID: build.NewID(), Secret: "secret", BusURL: "nats://127.0.0.1:4222", Pool: req.Pool, Platforms: []string{"ios", "android"},
	})
}
