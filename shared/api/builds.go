package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/build"
)

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

// Cancel ends a build; one that has ended already is build.ErrFinished. What breaks under way is tried again.
func (c *Client) Cancel(ctx context.Context, id string) (b Build, err error) {
	tries := 0
	err = c.persist(ctx, func() error {
		tries++
		return c.order(ctx, tries, buildPath(id, "/cancel"), nil, &b)
	})
	if tries > 1 && errors.Is(err, build.ErrFinished) { // perhaps by the try whose answer was lost
		if now, unknown := c.Build(ctx, id); unknown == nil && now.Status == string(build.Cancelled) {
			return now, nil
		}
	}
	return b, err
}

// Retry submits a build's source anew. What breaks under way is tried again, and is one build all the same.
func (c *Client) Retry(ctx context.Context, id string) (s Submitted, err error) {
	tries, name := 0, http.Header{nameHeader: {build.NewID()}}
	err = c.persist(ctx, func() error {
		tries++
		return c.order(ctx, tries, buildPath(id, "/retry"), name, &s)
	})
	return s, err
}

// order is one try of a POST without a body. If nobody is there for the first, the address may be wrong, and no other is worth it.
func (c *Client) order(ctx context.Context, try int, path string, header http.Header, out any) error {
	err := c.callWith(ctx, http.MethodPost, path, header, nil, out)
	if try == 1 {
		return unlessNobodyThere(err)
	}
	return err
}

// JoinWorker makes a worker known.
func (c *Client) JoinWorker(ctx context.Context, r JoinRequest) (resp JoinResponse, err error) {
	err = c.call(ctx, http.MethodPost, Path+"/workers", r, &resp)
	return resp, err
}

// Health is nil if the server takes builds. One that is up and not ready is build.ErrUnavailable.
func (c *Client) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Logs gives every line of a build's log as it is now to f, as they arrive. An error of f ends it.
func (c *Client) Logs(ctx context.Context, id string, f func(LogLine) error) error {
	ctx, moved, stop := c.stall(ctx)
	defer stop()
	req, err := c.request(ctx, http.MethodGet, buildPath(id, "/logs"), nil)
	if err != nil {
		return err
	}
	c.authorize(req)
	req.Header.Set("Accept", "application/json")
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(movingReader{resp.Body, func(int) { moved() }})
	if _, err := dec.Token(); err != nil { // the opening bracket
		return c.brokenLog(ctx, err)
	}
	for dec.More() {
		var l LogLine
		if err := dec.Decode(&l); err != nil {
			return c.brokenLog(ctx, err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing one: without it the log is not whole
		return c.brokenLog(ctx, err)
	}
	return nil
}

func (c *Client) brokenLog(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return c.unreachable(ctx, err)
	}
	if err == io.EOF { //nolint:errorlint // a decoder gives it bare
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the log broke off: %w", err)
}
