package shadow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config of a proxy.
type Config struct {
	Primary, Shadow *url.URL
	// MaxBody bounds one request body for the shadow, Spool all queued bodies together, in bytes.
	// Queue bounds the queued requests.
	MaxBody, Spool int64
	Queue          int
	// Transport reaches both servers; nil means the default.
	Transport http.RoundTripper
	Log       *slog.Logger
}

// Proxy answers from the primary and queues each request. Run sends the queue to the shadow.
type Proxy struct {
	cfg    Config
	front  *httputil.ReverseProxy
	client *http.Client
	quota  *diskQuota
	ids    *idMap
	jobs   chan *job
	// Tally counts the results.
	Tally *Tally
}

// shadowTimeout bounds one request to the shadow, however large.
const shadowTimeout = 10 * time.Minute

// NewProxy returns a proxy. It sends nothing before Run.
func NewProxy(cfg Config) *Proxy {
	p := &Proxy{
		cfg: cfg, client: &http.Client{Transport: cfg.Transport, Timeout: shadowTimeout}, quota: &diskQuota{limit: cfg.Spool},
		ids: newIDMap(), jobs: make(chan *job, cfg.Queue), Tally: newTally(),
	}
	p.front = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(cfg.Primary)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		Transport: cfg.Transport, FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			cfg.Log.WarnContext(r.Context(), "primary unreachable", "method", r.Method, "path", r.URL.Path, "err", err)
			if rec, ok := w.(*recorder); ok {
				rec.broken = true
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return p
}

// isV1 reports whether a path belongs to API v1.
func isV1(path string) bool {
	return strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/v2/") || path == "/health" || path == "/public/stats"
}

// job is an answered request for the shadow.
type job struct {
	method, route string
	url           *url.URL
	header        http.Header
	body          *spool
	answer        answer
}

// answer is a server's response.
type answer struct {
	status      int
	contentType string
	// json is the body if it is JSON and at most maxJSON long; otherwise only sum and size describe
	// it.
	json []byte
	sum  string
	size int64
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isV1(r.URL.Path) {
		p.front.ServeHTTP(w, r)
		return
	}
	j := &job{
		method: r.Method, route: routeOf(r.Method, r.URL.Path), url: r.URL, header: r.Header.Clone(),
		body: &spool{quota: p.quota, limit: p.cfg.MaxBody},
	}
	body := &teeBody{ReadCloser: r.Body, to: j.body, length: r.ContentLength}
	r.Body = body
	rec := &recorder{ResponseWriter: w, status: http.StatusOK, hash: sha256.New()}
	ended := false
	defer func() {
		whole := body.finish()
		switch {
		case !ended: // the line broke, and the client has seen no whole answer
			p.skip(j, "connection broken")
		case j.body.why != "":
			p.skip(j, j.body.why)
		case rec.broken:
			p.skip(j, "primary unreachable")
		case !whole:
			p.skip(j, "primary answered before it had read the body")
		default:
			j.answer = rec.answer()
			p.enqueue(j)
		}
	}()
	p.front.ServeHTTP(rec, r)
	ended = true
}

func (p *Proxy) skip(j *job, why string) {
	j.body.close()
	p.Tally.skipped(j.route, why)
}

// enqueue never waits.
func (p *Proxy) enqueue(j *job) {
	select {
	case p.jobs <- j:
	default:
		p.skip(j, "queue full")
	}
}

// teeBody copies what is read. The transport may still read after the answer, hence the lock.
type teeBody struct {
	io.ReadCloser

	mu     sync.Mutex
	to     *spool
	length int64 // as announced, -1 unknown
	read   int64
	ended  bool
	sealed bool
}

func (c *teeBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		return n, err
	}
	_, _ = c.to.Write(b[:n]) // a spool never fails
	c.read += int64(n)
	c.ended = c.ended || errors.Is(err, io.EOF)
	return n, err
}

// finish ends the copying and reports whether the copy is complete.
func (c *teeBody) finish() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.ended || c.read == c.length
}

// maxJSON is the size limit of answers that are compared field by field.
const maxJSON = 1 << 20

// recorder records an answer.
type recorder struct {
	http.ResponseWriter

	status int
	hash   hash.Hash
	size   int64
	head   []byte
	broken bool
}

// Unwrap lets the proxy flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.note(b[:n])
	return n, err
}

func (r *recorder) note(b []byte) {
	r.hash.Write(b)
	r.size += int64(len(b))
	if len(r.head) <= maxJSON {
		r.head = append(r.head, b[:min(len(b), maxJSON+1-len(r.head))]...)
	}
}

func (r *recorder) answer() answer {
	return newAnswer(r.status, r.Header().Get("Content-Type"), r.head, r.hash, r.size)
}

func newAnswer(status int, contentType string, head []byte, h hash.Hash, size int64) answer {
	a := answer{status: status, contentType: mediaType(contentType), sum: hex.EncodeToString(h.Sum(nil)), size: size}
	if a.contentType == "application/json" && size <= maxJSON {
		a.json = head
	}
	return a
}

func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// routeOf returns the method and path of a request with its ids replaced.
func routeOf(method, path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		if i < 2 {
			continue
		}
		switch part {
		case "submit", "active", "register", "poll", "upload", "report", "status", "logs", "download", "source", "certs", "certs-secure",
			"heartbeat", "telemetry", "cancel", "retry", "stats", "unregister", "latest":
		default:
			parts[i] = ":id"
		}
	}
	return method + " /" + strings.Join(parts, "/")
}
