package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
)

// putTries bounds how often the same bytes are sent: each time begins at the first.
const putTries = 5

// Put sends size bytes of body with a grant, and again from the start when the line breaks. If what was stored has not the
// SHA-256 of what was sent, it is ErrCorrupt.
func (c *Client) Put(ctx context.Context, g Grant, body io.ReadSeeker, size int64) (Uploaded, error) {
	again := c.again()
	for try := 1; ; try++ {
		up, err := c.putOnce(ctx, g, body, size, again.progress)
		if err == nil || try == putTries {
			return up, err
		}
		if err := again.after(ctx, err); err != nil {
			return up, err
		}
	}
}

func (c *Client) putOnce(ctx context.Context, g Grant, body io.ReadSeeker, size int64, progress func()) (up Uploaded, err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return up, fmt.Errorf("%w: %w", errRead, err)
	}
	ctx, moved, stop := c.stall(ctx)
	defer stop()
	out := &outgoing{r: body, hash: sha256.New(), moved: func() { moved(); progress() }}
	resp, err := c.put(ctx, g, out, size)
	// net/http may still read when the answer is there; the next try must not share the body with it.
	sum, rerr := out.detach()
	if err != nil && rerr != nil {
		return up, fmt.Errorf("%w: %w", errRead, rerr)
	}
	if err != nil {
		return up, err
	}
	defer resp.Body.Close()
	if err := c.decode(ctx, resp, &up); err != nil {
		return up, err
	}
	if up.Size != size || up.SHA256 != sum {
		return up, fmt.Errorf("%w: sent %d bytes, SHA-256 %s; stored %d, %s", ErrCorrupt, size, sum, up.Size, up.SHA256)
	}
	return up, nil
}

func (c *Client) put(ctx context.Context, g Grant, body io.Reader, size int64) (*http.Response, error) {
	req, err := c.request(ctx, http.MethodPut, g.URL, body)
	if err != nil {
		return nil, err
	}
	if req.ContentLength = size; size == 0 {
		req.Body = http.NoBody // else net/http would not know that there is nothing
	}
	for k, v := range g.Headers {
		req.Header.Set(k, v)
	}
	return c.do(req)
}

// errDetached: the request is over, its body is not read any more.
var errDetached = errors.New("the request is over")

// outgoing hashes what is sent and can be taken away from net/http.
type outgoing struct {
	mu    sync.Mutex
	r     io.Reader
	hash  hash.Hash
	err   error
	moved func()
}

func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.r == nil {
		return 0, errDetached
	}
	n, err := o.r.Read(p)
	if n > 0 {
		o.hash.Write(p[:n])
		o.moved()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}

// detach waits for a read under way. It gives the SHA-256 of what was read, and what was wrong with reading, if anything.
func (o *outgoing) detach() (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.r = nil
	return hex.EncodeToString(o.hash.Sum(nil)), o.err
}
