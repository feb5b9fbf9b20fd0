package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Config of a client.
type Config struct {
	// BaseURL of the gateway, e.g. http://localhost:3000.
	BaseURL string
	// Key is the API key; BuildToken is enough for one build's status, log, result and retry. Neither is ever part of an error.
	Key, BuildToken string
	// Transport replaces http.DefaultTransport; nil keeps it.
	Transport http.RoundTripper
}

// Client talks to one gateway. It is safe for concurrent use.
type Client struct {
	base *url.URL
	cfg  Config
	http *http.Client
}

// requestTimeout bounds requests that move no files; transfers end when nothing moves for stallTimeout.
const (
	requestTimeout = 30 * time.Second
	stallTimeout   = time.Minute
)

// ErrBaseURL means that the server's address cannot be used.
var ErrBaseURL = errors.New("server address")

// New gives a client; it sends nothing.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.BaseURL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%w %q: want something like http://localhost:3000", ErrBaseURL, cfg.BaseURL)
	}
	transport := cfg.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &Client{base: base, cfg: cfg, http: &http.Client{Transport: transport}}, nil
}

// BaseURL is the gateway's address.
func (c *Client) BaseURL() string { return c.base.String() }

// Error is a refusal by the server. It matches the sentinel of its code (package build) with errors.Is.
type Error struct {
	Problem
	// RetryAfter is what the server asked for, 0 if nothing.
	RetryAfter time.Duration
}

// Unwrap gives the sentinel behind the code.
func (e *Error) Unwrap() error { return errors.Unwrap(build.FromCode(e.Code, e.Detail)) }

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// ErrUnreachable means no answer from the server; the text says what to try.
var ErrUnreachable = errors.New("cannot reach the server")

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	target, err := c.resolve(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("User-Agent", "freeagent/"+version.Version)
	return req, nil
}

// resolve gives an absolute address: paths are the gateway's.
func (c *Client) resolve(path string) (string, error) {
	u, err := url.Parse(path)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", path, err)
	}
	if u.IsAbs() {
		return path, nil
	}
	return c.base.String() + path, nil
}

func (c *Client) authorize(req *http.Request) {
	if c.cfg.Key != "" {
		req.Header.Set("X-API-Key", c.cfg.Key)
	}
	if c.cfg.BuildToken != "" {
		req.Header.Set("X-Build-Token", c.cfg.BuildToken)
	}
}

// do sends a request and turns a refusal into an *Error.
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

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, context.Cause(ctx))
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w at %s: is it running? Start one with `freeagent up`, or name it with --server or FREEAGENT_URL (%w)",
			ErrUnreachable, c.base, op.Err)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, err)
}

// maxRefusal bounds what is read of an error's body.
const maxRefusal = 64 << 10

func refusal(resp *http.Response) error {
	e := &Error{Problem: Problem{Status: resp.StatusCode}}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil || json.Unmarshal(body, &e.Problem) != nil || e.Detail == "" {
		e.Detail = "the server answered " + resp.Status
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// call sends JSON (nil for no body) and decodes the JSON answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = strings.NewReader(string(data))
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	c.authorize(req)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

func buildPath(id, tail string) string { return Path + "/builds/" + url.PathEscape(id) + tail }

// Build reads one build with its attempts.
func (c *Client) Build(ctx context.Context, id string) (b Build, err error) {
	err = c.call(ctx, http.MethodGet, buildPath(id, ""), nil, &b)
	return b, err
}

// ListOptions choose builds. The zero value is the newest page of all.
type ListOptions struct {
	Limit  int
	Before string
	Status []string
}

// Builds reads one page, newest first.
func (c *Client) Builds(ctx context.Context, o ListOptions) (list BuildList, err error) {
	q := url.Values{"status": o.Status}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Before != "" {
		q.Set("before", o.Before)
	}
	err = c.call(ctx, http.MethodGet, Path+"/builds?"+q.Encode(), nil, &list)
	return list, err
}

// Cancel ends a build.
func (c *Client) Cancel(ctx context.Context, id string) (b Build, err error) {
	err = c.call(ctx, http.MethodPost, buildPath(id, "/cancel"), nil, &b)
	return b, err
}

// Retry submits a build's source anew.
func (c *Client) Retry(ctx context.Context, id string) (s Submitted, err error) {
	err = c.call(ctx, http.MethodPost, buildPath(id, "/retry"), nil, &s)
	return s, err
}

// Logs reads a build's log as it is now.
func (c *Client) Logs(ctx context.Context, id string) (lines []LogLine, err error) {
	err = c.call(ctx, http.MethodGet, buildPath(id, "/logs"), nil, &lines)
	return lines, err
}

// JoinWorker makes a worker known.
func (c *Client) JoinWorker(ctx context.Context, r JoinRequest) (resp JoinResponse, err error) {
	err = c.call(ctx, http.MethodPost, Path+"/workers", r, &resp)
	return resp, err
}
