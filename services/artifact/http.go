package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

const (
	requestIDHeader = "X-Request-Id"
	checksumHeader  = "X-Checksum-Sha256"
)

// routes is every route that the service serves.
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+api.ObjectsPath, s.transfer(s.servePut))
	mux.HandleFunc("PATCH "+api.ObjectsPath, s.transfer(s.serveAppend))
	mux.HandleFunc("GET "+api.ObjectsPath, s.transfer(s.serveGet))
	mux.HandleFunc("HEAD "+api.ObjectsPath, s.transfer(s.serveHead))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", probe(s.CanServe))
	mux.HandleFunc("GET /health", probe(s.Check))
	return mux
}

// transfer wraps a handler of bytes: request id, a place in the count of transfers under way, errors as problems.
func (s *Service) transfer(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		w.Header().Set(requestIDHeader, id)
		parent := r.Context()
		if isUpload(r) {
			// A read that fails cancels the request's context before it returns. An upload is to end with the read's error,
			// which says why; and one whose client left after the last byte may as well be stored.
			parent = context.WithoutCancel(parent)
		}
		ctx, leave, ok := s.transfers.enter(parent)
		if !ok || !s.isReady() {
			if ok {
				leave()
			}
			s.problem(w, r, refuse(build.ErrUnavailable, "the artifact service is starting or stopping; try again"))
			return
		}
		defer leave()
		if err := h(w, r.WithContext(ctx)); err != nil {
			s.problem(w, r, translate(err))
		}
	}
}

func isUpload(r *http.Request) bool {
	return r.Method == http.MethodPut || r.Method == http.MethodPatch
}

func (s *Service) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// requestID passes the gateway's id through, or makes one; it must not bring anything else into the log.
func requestID(r *http.Request) string {
	if id := r.Header.Get(requestIDHeader); build.ValidID(id) {
		return id
	}
	return build.NewID()
}

// problem answers an error by RFC 9457 and logs it once.
func (s *Service) problem(w http.ResponseWriter, r *http.Request, err error) {
	code, status, text := describe(err)
	id := w.Header().Get(requestIDHeader)
	args := []any{"request_id", id, "method", r.Method, "status", status, "code", code, "err", err, "cause", cause(err)}
	if status >= http.StatusInternalServerError {
		s.log.ErrorContext(r.Context(), "transfer failed", args...)
	} else {
		s.log.InfoContext(r.Context(), "transfer refused", args...)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if isUpload(r) {
		hangUp(w)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{ // a client that is gone needs no answer
		Title: http.StatusText(status), Status: status, Detail: text, Code: code, RequestID: id,
	})
}

// linger is how long a client may go on sending after a refusal, so that it finds the answer instead of a reset.
const linger = time.Second

// hangUp ends the connection after the answer. Else the server would first wait for the rest of the body, perhaps of a
// client that sends nothing more, and only then answer.
func hangUp(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger)) // where there is none to set, the server's own holds
}

// cause is what a refusal hides from its reader.
func cause(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r.cause
	}
	return nil
}

// servePut takes an upload.
func (s *Service) servePut(w http.ResponseWriter, r *http.Request) error {
	t, err := s.tickets.Verify(r.Header.Get(api.TicketHeader), ticket.Put, s.now())
	if err != nil {
		return err
	}
	b := newBody(w, r, s.cfg.StallTimeout)
	defer b.close()
	done, err := s.receive(r.Context(), t, b, r.ContentLength)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(done) // a client that misses this asks again and gets the same
	return nil
}

// serveGet serves an object or a part of it.
func (s *Service) serveGet(w http.ResponseWriter, r *http.Request) error {
	t, err := s.tickets.Verify(r.Header.Get(api.TicketHeader), ticket.Get, s.now())
	if err != nil {
		return err
	}
	o, err := s.readable(r.Context(), t.ObjectID)
	if err != nil {
		return err
	}
	etag := `"` + o.SHA256 + `"`
	if matches(r.Header, etag) {
		w.Header().Set("ETag", etag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	part, partial, err := wantedRange(r.Header, etag, o.Size)
	if err != nil {
		w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(o.Size, 10))
		return err
	}
	begin := func() {
		describeObject(w.Header(), o, etag, part)
		w.WriteHeader(map[bool]int{false: http.StatusOK, true: http.StatusPartialContent}[partial])
	}
	if partial {
		w.Header().Set("Content-Range", part.header(o.Size))
	}
	if r.Method == http.MethodHead {
		begin()
		return nil
	}
	return s.serveBytes(w, r, o, part, begin)
}

func describeObject(h http.Header, o store.Object, etag string, part byteRange) {
	h.Set("ETag", etag)
	h.Set(checksumHeader, o.SHA256)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", o.ContentType)
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": o.Name}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-cache")
}

// serveBytes returns an error only as long as nothing has left; afterwards a fault cuts the connection, since a short
// answer with status 200 must not look like a whole one.
func (s *Service) serveBytes(w http.ResponseWriter, r *http.Request, o store.Object, part byteRange, begin func()) error {
	ctx := r.Context()
	src, err := s.open(ctx, o, part)
	if err != nil {
		return s.broken(ctx, w, o, err)
	}
	defer src.Close()
	begun := false
	out := &patient{w: w, ctl: http.NewResponseController(w), stall: s.cfg.StallTimeout}
	err = send(out, src, func() {
		if !begun {
			begun = true
			begin()
		}
	})
	if err == nil {
		err = out.done()
	}
	switch {
	case err == nil:
		s.meter.served.Add(ctx, 1)
		s.meter.servedBytes.Add(ctx, part.length)
		return nil
	case errors.Is(err, errClient), begun:
		_ = s.broken(ctx, w, o, err)
		panic(http.ErrAbortHandler)
	}
	return s.broken(ctx, w, o, err)
}

// broken counts and logs a download that the store spoiled, and passes the error on.
func (s *Service) broken(ctx context.Context, w http.ResponseWriter, o store.Object, err error) error {
	w.Header().Del("Content-Range")
	if errors.Is(err, errClient) || context.Cause(ctx) != nil {
		return err
	}
	if isBroken(err) {
		if gone := s.removedMeanwhile(ctx, o); gone != nil {
			return gone
		}
		s.meter.broken.Add(ctx, 1)
	}
	s.log.ErrorContext(ctx, "download broken off", "request_id", w.Header().Get(requestIDHeader),
		"object_id", o.ID, "build_id", o.BuildID, "err", err)
	return err
}

// readyTimeout keeps a probe short.
const readyTimeout = 2 * time.Second

func probe(question func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := question(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}

// CanServe says why this process serves no transfers, nil if it does. Database, bus and object store are shared with its
// replicas and do not count: while they are away each transfer is answered with 503 and Retry-After. It is safe for concurrent
// use.
func (s *Service) CanServe(context.Context) error {
	switch {
	case !s.isReady():
		return errors.New("starting")
	case s.transfers.isClosed():
		return errors.New("stopping")
	}
	return nil
}

// Check says why transfers would not be served now, nil if they would. It is safe for concurrent use.
func (s *Service) Check(ctx context.Context) error {
	if err := s.CanServe(ctx); err != nil {
		return err
	}
	var one int
	switch {
	case !s.conn.IsConnected():
		return errors.New("no connection to the bus")
	case s.db.Read().QueryRowContext(ctx, "SELECT 1").Scan(&one) != nil:
		return errors.New("the database does not answer")
	}
	return s.storeAway(ctx)
}

// storeAway asks a store that is thought to be away whether it still is: without transfers nobody else would.
func (s *Service) storeAway(ctx context.Context) error {
	thought, ok := s.objects.(interface{ Away() error })
	if !ok || thought.Away() == nil {
		return nil
	}
	if _, err := s.objects.Stat(ctx, "none"); errors.Is(err, objects.ErrAway) {
		return err
	}
	return nil
}
