package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config of a client. Zero durations mean the defaults.
type Config struct {
	// BaseURL of the gateway, e.g. http://localhost:3000.
	BaseURL string
	// Key is the API key; BuildToken is enough for one build's status, log, result and retry. Neither is ever part of an error.
	Key, BuildToken string
	// Transport replaces http.DefaultTransport; nil keeps it.
	Transport http.RoundTripper
	// StallTimeout ends a transfer or a followed log when no byte came for so long (default 1m). The server's heartbeats on a
	// followed log are several times as frequent.
	StallTimeout time.Duration
	// RetryFor bounds how long a broken transfer or followed log is retried without progress (default 30s: a server's restart).
	RetryFor time.Duration
	// OnRetry is called before each wait for another try; nil for none.
	OnRetry func(err error, wait time.Duration)
}

// Client talks to one gateway. Make it with New. It is safe for concurrent use.
type Client struct {
	Builds    *BuildsService
	Objects   *ObjectsService
	Workers   *WorkersService
	Webhooks  *WebhooksService
	Retention *RetentionService
	Rules     *RulesService
	Numbers   *NumbersService
	Variables *VariablesService

	conn *conn
}

const (
	// requestTimeout bounds requests that move no files.
	requestTimeout      = 30 * time.Second
	defaultStallTimeout = time.Minute
	defaultRetryFor     = 30 * time.Second
	// maxAnswer bounds a JSON answer: 1000 builds with long errors stay far below.
	maxAnswer = 64 << 20
)

// New returns a client; it sends nothing. An unusable BaseURL is ErrBaseURL.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.BaseURL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("%w %q: want something like http://localhost:3000", ErrBaseURL, redacted(cfg.BaseURL))
	}
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = defaultStallTimeout
	}
	if cfg.RetryFor <= 0 {
		cfg.RetryFor = defaultRetryFor
	}
	c := &conn{base: base, cfg: cfg}
	c.http = &http.Client{Transport: cfg.Transport, CheckRedirect: c.redirect}
	objects := &ObjectsService{c}
	return &Client{
		Builds: &BuildsService{c, objects}, Objects: objects, Workers: &WorkersService{c}, Webhooks: &WebhooksService{c},
		Retention: &RetentionService{c}, Rules: &RulesService{c}, Numbers: &NumbersService{c}, Variables: &VariablesService{c}, conn: c,
	}, nil
}

// redacted hides the password in an address.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "(not an address)"
}

// BaseURL returns the gateway's address without the password in it.
func (c *Client) BaseURL() string { return c.conn.base.Redacted() }

// Health returns nil if the server accepts builds. It is build.ErrUnavailable if the server is up and not ready.
func (c *Client) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	req, err := c.conn.newRequest(ctx, http.MethodGet, "/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := c.conn.do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Call sends a request that no service of the client has, such as those of package legacy. path begins with a slash and is relative
// to Path. It retries what breaks on the way, so the request must be harmless when it is repeated.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	return c.conn.retry(ctx, func() error { return c.conn.call(ctx, method, Path+path, in, out) })
}

// Read copies the bytes at a path to w and returns their number. Some may have been written when it returns an error. path is as in
// Call.
func (c *Client) Read(ctx context.Context, path string, w io.Writer) (n int64, err error) {
	err = c.conn.stream(ctx, Path+path, nil, func(ctx context.Context, resp *http.Response, body io.Reader) error {
		n, err = io.Copy(w, body)
		if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		return nil
	})
	return n, err
}
