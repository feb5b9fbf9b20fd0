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
	// MaxBody bounds a request's body that is sent to the shadow, Spool all that wait together, in bytes; Queue how many may wait.
	MaxBody, Spool int64
	Queue          int
	// Transport is for both servers; nil is the default.
	Transport http.RoundTripper
	Log       *slog.Logger
}

// Proxy answers from the primary. Its shadow is asked by Run.
type Proxy struct {
	cfg    Config
	front  *httputil.ReverseProxy
	client *http.Client
	depot  *depot
	book   *book
	jobs   chan *job
	// Tally is what came of it.
	Tally *Tally
}

// shadowTimeout bounds one request to the shadow, however large.
const shadowTimeout = 10 * time.Minute

// NewProxy returns a proxy; it sends nothing.
func NewProxy(cfg Config) *Proxy {
	p := &Proxy{
		cfg: cfg, client: &http.Client{Transport: cfg.Transport, Timeout: shadowTimeout}, depot: &depot{limit: cfg.Spool},
		book: newBook(), jobs: make(chan *job, cfg.Queue), Tally: newTally(),
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

// mirrored says that a request is one of API v1.
func mirrored(path string) bool {
	return strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/v2/") || path == "/health" || path == "/public/stats"
}

// job is a request that was answered, for the shadow.
type job struct {
	method, route string
	url           *url.URL
	header        http.Header
	body          *spool
	answer        answer
}

// answer is what a server said.
type answer struct {
	status      int
	contentType string
	// json is the body if it is JSON and not too long; else sum and size tell of it.
	json []byte
	sum  string
	size int64
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !mirrored(r.URL.Path) {
		p.front.ServeHTTP(w, r)
		return
	}
	j := &job{
		method: r.Method, route: routeOf(r.Method, r.URL.Path), url: r.URL, header: r.Header.Clone(),
		body: &spool{depot: p.depot, limit: p.cfg.MaxBody},
	}
	body := &copied{ReadCloser: r.Body, to: j.body, length: r.ContentLength}
	r.Body = body
	rec := &recorder{ResponseWriter: w, status: http.StatusOK, hash: sha256.New()}
	ended := false
	defer func() {
		whole := body.seal()
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

// copied keeps a copy of what is read. The transport may still read when the answer is there, hence the lock.
type copied struct {
	io.ReadCloser

	mu     sync.Mutex
	to     *spool
	length int64 // as announced, -1 unknown
	read   int64
	ended  bool
	sealed bool
}

func (c *copied) Read(b []byte) (int, error) {
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

// seal ends the copying and says if it is whole.
func (c *copied) seal() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.ended || c.read == c.length
}

// maxJSON is how long an answer may be to be compared field by field.
const maxJSON = 1 << 20

// recorder remembers what was answered.
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

// routeOf names a request without its ids.
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
