package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"

	"github.com/expo-free-agent/freeagent/shared/pause"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// conn sends requests to one gateway. It is safe for concurrent use.
type conn struct {
	base *url.URL
	cfg  Config
	http *http.Client
}

// Headers that authenticate and identify a request.
const (
	keyHeader         = "X-API-Key"
	tokenHeader       = "X-Build-Token"
	idempotencyHeader = "Idempotency-Key"
)

const maxRedirects = 5

// errRedirects is permanent: another try is redirected to the same place.
var errRedirects = errors.New("the server redirects")

// redirect removes our secrets from requests to another host, to which net/http would pass them on. It refuses to turn a POST into
// a GET.
func (c *conn) redirect(req *http.Request, via []*http.Request) error {
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

// newRequest makes a request without credentials. target is a path of the gateway's or an absolute URL.
func (c *conn) newRequest(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", withoutURL(err))
	}
	if !u.IsAbs() {
		target = c.base.String() + target
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", withoutURL(err))
	}
	req.Header.Set("User-Agent", "freeagent/"+version.Version)
	return req, nil
}

func (c *conn) authorize(req *http.Request) {
	if c.cfg.Key != "" {
		req.Header.Set(keyHeader, c.cfg.Key)
	}
	if c.cfg.BuildToken != "" {
		req.Header.Set(tokenHeader, c.cfg.BuildToken)
	}
}

// do sends a request. A refusal becomes an *Error, silence ErrUnreachable or the context's cause.
func (c *conn) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(req.Context(), err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, errorOf(resp)
	}
	return resp, nil
}

// stream sends an authorized GET and calls read with the body of its answer. The context of read ends with ErrStalled when no byte
// comes for Config.StallTimeout.
func (c *conn) stream(
	ctx context.Context, path string, header http.Header, read func(context.Context, *http.Response, io.Reader) error,
) error {
	ctx, touch, stop := c.withStallTimeout(ctx)
	defer stop()
	req, err := c.newRequest(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	c.authorize(req)
	maps.Copy(req.Header, header)
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(ctx, resp, progressReader{resp.Body, func(int) { touch() }})
}

// call sends in as JSON (nil for no body) and decodes the JSON answer into out, within requestTimeout.
func (c *conn) call(ctx context.Context, method, path string, in, out any) error {
	return c.callWith(ctx, method, path, nil, in, out)
}

func (c *conn) callWith(ctx context.Context, method, path string, header http.Header, in, out any) error {
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
	req, err := c.newRequest(ctx, method, path, body)
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

// decode reads a JSON answer. What is no JSON of ours comes from something else than a Free Agent server, or was cut.
func (c *conn) decode(ctx context.Context, resp *http.Response, out any) error {
	err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return c.unreachable(ctx, err)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: what answers at %s is not a Free Agent server", ErrUnreachable, c.base.Redacted())
	}
	return fmt.Errorf("%w at %s: the answer was cut: %w", ErrUnreachable, c.base.Redacted(), err)
}

// unreachable says why there was no answer. If the context ended, its cause is the reason.
func (c *conn) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, ErrStalled) || errors.Is(cause, context.Canceled) {
			return cause
		}
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base.Redacted(), cause)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w at %s: is it running? Start one with `freeagent up`, or name it with --server or FREEAGENT_URL (%w)",
			ErrUnreachable, c.base.Redacted(), op.Err)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base.Redacted(), withoutURL(err))
}

// withStallTimeout returns a context that ends with ErrStalled unless touch is called within each Config.StallTimeout.
func (c *conn) withStallTimeout(ctx context.Context) (_ context.Context, touch, stop func()) {
	return pause.WithSilence(ctx, c.cfg.StallTimeout, ErrStalled)
}

// progressReader calls progress with the number of bytes of each read.
type progressReader struct {
	io.Reader

	progress func(n int)
}

func (r progressReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.progress(n)
	}
	return n, err
}
