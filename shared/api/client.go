package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/version"
)

// Config of a client. Zero durations are the defaults.
type Config struct {
	// BaseURL of the gateway, e.g. http://localhost:3000.
	BaseURL string
	// Key is the API key; BuildToken is enough for one build's status, log, result and retry. Neither is ever part of an error.
	Key, BuildToken string
	// Transport replaces http.DefaultTransport; nil keeps it.
	Transport http.RoundTripper
	// Stall ends a transfer, or a line that a log is followed on, when nothing came for so long; default 1 min. The server's
	// beats on a followed log are several times as frequent.
	Stall time.Duration
	// Patience is how long a broken transfer or followed log is tried again while nothing comes of it; default 30 s: a server's
	// restart.
	Patience time.Duration
	// Retrying hears why a transfer or a log broke and when it is tried again; nil for nobody.
	Retrying func(err error, in time.Duration)
}

// Client talks to one gateway. It is safe for concurrent use.
type Client struct {
	base *url.URL
	cfg  Config
	http *http.Client
}

const (
	// requestTimeout bounds requests that move no files.
	requestTimeout  = 30 * time.Second
	defaultStall    = time.Minute
	defaultPatience = 30 * time.Second
	// maxAnswer bounds a JSON answer: 1000 builds with long errors stay far below.
	maxAnswer = 64 << 20
)

// New returns a client; it sends nothing. What is no address is ErrBaseURL.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.BaseURL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("%w %q: want something like http://localhost:3000", ErrBaseURL, redacted(cfg.BaseURL))
	}
	if cfg.Stall <= 0 {
		cfg.Stall = defaultStall
	}
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	c := &Client{base: base, cfg: cfg}
	c.http = &http.Client{Transport: cfg.Transport, CheckRedirect: c.redirect}
	return c, nil
}

// redacted keeps a password in an address out of sight.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "(not an address)"
}

// BaseURL is the gateway's address, without a password in it.
func (c *Client) BaseURL() string { return c.base.Redacted() }

// The headers that say who asks.
const (
	keyHeader   = "X-API-Key"
	nameHeader  = "Idempotency-Key"
	tokenHeader = "X-Build-Token"
)

const maxRedirects = 5

// errRedirects: asking again leads to the same place.
var errRedirects = errors.New("the server redirects")

// redirect keeps secrets at home: net/http would pass headers of ours on to wherever an answer points. It also refuses to
// turn a POST into a GET.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w to too many places", errRedirects)
	}
	first := via[0]
	if first.Method != req.Method {
		return fmt.Errorf("%w to %s://%s; give that as its address", errRedirects, req.URL.Scheme, req.URL.Host)
	}
	if req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host {
		for _, secret := range []string{keyHeader, tokenHeader, TicketHeader} {
			req.Header.Del(secret)
		}
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	target, err := c.resolve(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", withoutURL(err))
	}
	req.Header.Set("User-Agent", "freeagent/"+version.Version)
	return req, nil
}

// resolve returns an absolute address: paths are the gateway's.
func (c *Client) resolve(path string) (string, error) {
	u, err := url.Parse(path)
	if err != nil {
		return "", fmt.Errorf("address to ask: %w", withoutURL(err))
	}
	if u.IsAbs() {
		return path, nil
	}
	return c.base.String() + path, nil
}

func (c *Client) authorize(req *http.Request) {
	if c.cfg.Key != "" {
		req.Header.Set(keyHeader, c.cfg.Key)
	}
	if c.cfg.BuildToken != "" {
		req.Header.Set(tokenHeader, c.cfg.BuildToken)
	}
}

// do sends a request and turns a refusal into an *Error, silence into ErrUnreachable or the context's cause.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(req.Context(), err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

// call sends JSON (nil for no body) and decodes the JSON answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	return c.callWith(ctx, method, path, nil, in, out)
}

func (c *Client) callWith(ctx context.Context, method, path string, header http.Header, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	c.authorize(req)
	maps.Copy(req.Header, header)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.decode(ctx, resp, out)
}

// decode reads a JSON answer; what is none comes from something else than our server, or was cut.
func (c *Client) decode(ctx context.Context, resp *http.Response, out any) error {
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return c.unreachable(ctx, err)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: what answers at %s is not a Free Agent server", ErrUnreachable, c.BaseURL())
	}
	return fmt.Errorf("%w at %s: the answer was cut: %w", ErrUnreachable, c.BaseURL(), err)
}
