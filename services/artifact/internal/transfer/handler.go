package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const checksumHeader = "X-Checksum-Sha256"

// Config of transfers.
type Config struct {
	// StallTimeout ends a transfer that moves no byte for so long.
	StallTimeout time.Duration
	// StaleUploadAge bounds how long one upload may take.
	StaleUploadAge time.Duration
	// MaxUploads bounds the uploads at once; more wait up to StallTimeout.
	MaxUploads int
}

// Transfers serves the bytes of objects over HTTP to holders of tickets.
type Transfers struct {
	cfg     Config
	catalog *catalog.Catalog
	tickets *ticket.Signer
	slots   chan struct{} // one for each upload
	gate    *gate
}

// New returns transfers that are refused until Open is called.
func New(cfg Config, c *catalog.Catalog, tickets *ticket.Signer) *Transfers {
	return &Transfers{cfg: cfg, catalog: c, tickets: tickets, slots: make(chan struct{}, cfg.MaxUploads), gate: newGate()}
}

// Open begins to accept transfers.
func (s *Transfers) Open() { s.gate.open() }

// Drain accepts no more transfers and waits for those under way. When ctx ends it cuts the rest and returns how many they were.
// Call it once.
func (s *Transfers) Drain(ctx context.Context) (cut int) { return s.gate.drain(ctx) }

// Check returns why no transfers are accepted, nil if they are.
func (s *Transfers) Check() error { return s.gate.check() }

// Routes adds the handlers to mux.
func (s *Transfers) Routes(mux *http.ServeMux) {
	mux.Handle("PUT "+api.ObjectsPath, s.transfer(s.servePut))
	mux.Handle("PATCH "+api.ObjectsPath, s.transfer(s.serveAppend))
	mux.Handle("GET "+api.ObjectsPath, s.transfer(s.serveGet))
	mux.Handle("HEAD "+api.ObjectsPath, s.transfer(s.serveHead))
}

// transfer wraps a handler: request id, a place among the transfers under way, errors as problem documents.
func (s *Transfers) transfer(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return httpx.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parent := r.Context()
		if isUpload(r) {
			// A read that fails cancels the request's context before it returns. An upload must end with the read's error, which says
			// why; and if the client left after the last byte, the upload can be stored.
			parent = context.WithoutCancel(parent)
		}
		ctx, leave, ok := s.gate.enter(parent)
		if !ok {
			s.problem(w, r, httpx.Refuse(build.ErrUnavailable, "the artifact service is starting or stopping; try again"))
			return
		}
		defer leave()
		if err := h(w, r.WithContext(ctx)); err != nil {
			s.problem(w, r, problem.Translate(err))
		}
	}))
}

func isUpload(r *http.Request) bool {
	return r.Method == http.MethodPut || r.Method == http.MethodPatch
}

// problem answers an error as RFC 9457 says, and logs it once.
func (s *Transfers) problem(w http.ResponseWriter, r *http.Request, err error) {
	code, status, text := problem.Describe(err)
	args := []any{"method", r.Method, "status", status, "code", code, "err", err}
	var refusal *httpx.Refusal
	if errors.As(err, &refusal) && refusal.Cause != nil {
		args = append(args, "cause", refusal.Cause)
	}
	if status >= http.StatusInternalServerError {
		s.catalog.Log.ErrorContext(r.Context(), "transfer failed", args...)
	} else {
		s.catalog.Log.InfoContext(r.Context(), "transfer refused", args...)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if isUpload(r) {
		closeAfterAnswer(w)
	}
	httpx.WriteProblem(w, r, api.Problem{Status: status, Detail: text, Code: code})
}

// drainTime is how long a client may continue to send after a refusal, so that it reads the answer instead of a reset.
const drainTime = time.Second

// closeAfterAnswer ends the connection after the answer. Otherwise the server would first wait for the rest of the body, perhaps of
// a client that sends nothing more, and only then answer.
func closeAfterAnswer(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime)) // if the connection has none, the server's own applies
}

// servePut stores an upload.
func (s *Transfers) servePut(w http.ResponseWriter, r *http.Request) error {
	t, err := s.tickets.Verify(r.Header.Get(api.TicketHeader), ticket.Put, time.Now())
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
	_ = json.NewEncoder(w).Encode(done) // a client that misses the answer repeats the request and gets the same
	return nil
}

// serveGet serves an object or a part of it.
func (s *Transfers) serveGet(w http.ResponseWriter, r *http.Request) error {
	t, err := s.tickets.Verify(r.Header.Get(api.TicketHeader), ticket.Get, time.Now())
	if err != nil {
		return err
	}
	o, err := s.catalog.Readable(r.Context(), t.ObjectID)
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

// serveBytes returns an error only before the first byte has left. Afterwards a fault cuts the connection, since a short answer with
// status 200 must not look complete.
func (s *Transfers) serveBytes(w http.ResponseWriter, r *http.Request, o store.Object, part byteRange, begin func()) error {
	ctx := r.Context()
	src, err := s.open(ctx, o, part)
	if err != nil {
		return s.broken(ctx, w, o, err)
	}
	defer src.Close()
	begun := false
	out := httpx.NewDeadlineWriter(w, s.cfg.StallTimeout, nil)
	err = send(out, src, func() {
		if !begun {
			begun = true
			begin()
		}
	})
	if err == nil {
		if flushed := out.Flush(); flushed != nil {
			err = fmt.Errorf("%w: %w", errClient, flushed)
		}
		out.Done()
	}
	switch {
	case err == nil:
		s.catalog.Meter.Served.Add(ctx, 1)
		s.catalog.Meter.ServedBytes.Add(ctx, part.length)
		return nil
	case errors.Is(err, errClient), begun:
		_ = s.broken(ctx, w, o, err)
		panic(http.ErrAbortHandler)
	}
	return s.broken(ctx, w, o, err)
}

// broken counts and logs a download that failed because of the store, and returns the error.
func (s *Transfers) broken(ctx context.Context, w http.ResponseWriter, o store.Object, err error) error {
	w.Header().Del("Content-Range")
	if errors.Is(err, errClient) || context.Cause(ctx) != nil {
		return err
	}
	if isBroken(err) {
		if gone := s.catalog.RemovedMeanwhile(ctx, o); gone != nil {
			return gone
		}
		s.catalog.Meter.Broken.Add(ctx, 1)
	}
	s.catalog.Log.ErrorContext(ctx, "download interrupted", "object_id", o.ID, "build_id", o.BuildID, "err", err)
	return err
}
