package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// Grant lets its holder move one object's bytes: the HTTP side of artifact.v1.Grant.
type Grant struct {
	Method  string
	URL     string
	Headers map[string]string
}

var (
	// ErrCorrupt means that what arrived is not what was promised.
	ErrCorrupt = errors.New("the bytes do not match their SHA-256")
	// ErrStalled means that no byte moved for a minute.
	ErrStalled = errors.New("the transfer stalled: no byte moved for a minute")
)

// transferTries bounds how often a broken transfer is taken up again.
const transferTries = 5

// stall gives a context that ends with ErrStalled unless moved is called now and then.
func stall(ctx context.Context) (_ context.Context, moved func(), stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := time.AfterFunc(stallTimeout, func() { cancel(ErrStalled) })
	return ctx, func() { t.Reset(stallTimeout) }, func() { t.Stop(); cancel(nil) }
}

// movingReader tells of progress.
type movingReader struct {
	io.Reader
	moved func(n int)
}

func (m movingReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.moved(n)
	}
	return n, err
}

// Submit is what POST /builds takes.
type Submit struct {
	Platform, Project, Profile, Pool string
	Priority                         int
	// Source is streamed as it is read: a zip or tar.gz. Certs may be nil.
	Source, Certs io.Reader
	// SourceName is shown to people.
	SourceName string
	// Progress hears of bytes sent; nil for none.
	Progress func(n int)
}

// Get writes a granted object to w, in order, and takes a broken transfer up where it broke. size and sha256Hex are what was
// promised; anything else is ErrCorrupt.
func (c *Client) Get(ctx context.Context, g Grant, w io.Writer, size int64, sha256Hex string) error {
	d := &download{client: c, w: w, hash: sha256.New(), header: g.Headers}
	return d.run(ctx, g.URL, size, sha256Hex)
}

// Download writes a build's result to w from offset on. What is before the offset has been written earlier and was hashed
// into seen (nil for offset 0). progress hears of bytes received; nil for none.
func (c *Client) Download(ctx context.Context, b Build, w io.Writer, offset int64, seen hash.Hash, progress func(n int)) error {
	if b.Result == nil {
		return fmt.Errorf("build %s has no result", b.ID)
	}
	if seen == nil {
		seen = sha256.New()
	}
	d := &download{client: c, w: w, hash: seen, done: offset, authorized: true, progress: progress}
	return d.run(ctx, buildPath(b.ID, "/result"), b.Result.Size, b.Result.SHA256)
}

type download struct {
	client     *Client
	w          io.Writer
	hash       hash.Hash
	header     map[string]string
	authorized bool
	done       int64
	progress   func(n int)
}

func (d *download) run(ctx context.Context, url string, size int64, sum string) error {
	for try := 1; ; try++ {
		before := d.done
		err := d.once(ctx, url, size)
		if err == nil {
			break
		}
		if d.done > before {
			try = 1 // it moved: that was not in vain
		}
		if try >= transferTries || !worthAnotherTry(ctx, err) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("%w: got %s, want %s", ErrCorrupt, got, sum)
	}
	return nil
}

// worthAnotherTry: the line broke, or the server was busy; not what it refused for good, and not our own disk's fault.
func worthAnotherTry(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errWrite) {
		return false
	}
	var refused *Error
	return !errors.As(err, &refused) || refused.Status >= http.StatusInternalServerError && refused.Status != http.StatusInsufficientStorage
}

func pause(ctx context.Context, try int) error {
	d := 100 * time.Millisecond << try
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d/2 + rand.N(d)):
		return nil
	}
}

// errWrite: the bytes came, and could not be written here.
var errWrite = errors.New("write what was downloaded")

func (d *download) once(ctx context.Context, url string, size int64) error {
	if d.done >= size && size > 0 {
		return nil
	}
	ctx, moved, stop := stall(ctx)
	defer stop()
	req, err := d.client.request(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for k, v := range d.header {
		req.Header.Set(k, v)
	}
	if d.authorized {
		d.client.authorize(req)
	}
	if d.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
	}
	resp, err := d.client.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if d.done > 0 && resp.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("%w: the server does not go on where the transfer broke", ErrCorrupt)
	}
	return d.copy(ctx, resp.Body, moved, size)
}

func (d *download) copy(ctx context.Context, body io.Reader, moved func(), size int64) error {
	buf := make([]byte, 128<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			moved()
			if _, err := d.w.Write(buf[:n]); err != nil {
				return fmt.Errorf("%w: %w", errWrite, err)
			}
			d.hash.Write(buf[:n])
			d.done += int64(n)
			if d.progress != nil {
				d.progress(n)
			}
		}
		switch {
		case errors.Is(err, io.EOF) && (size <= 0 || d.done == size):
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("download: %w: %d of %d bytes", io.ErrUnexpectedEOF, d.done, size)
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("download: %w", context.Cause(ctx))
		case err != nil:
			return fmt.Errorf("download: %w", err)
		}
	}
}

// Put sends size bytes of body with a grant, and again from the start when the line breaks.
func (c *Client) Put(ctx context.Context, g Grant, body io.ReadSeeker, size int64) (Uploaded, error) {
	for try := 1; ; try++ {
		up, err := c.putOnce(ctx, g, body, size)
		if err == nil || try >= transferTries || !worthAnotherTry(ctx, err) {
			return up, err
		}
		if err := pause(ctx, try); err != nil {
			return up, err
		}
	}
}

func (c *Client) putOnce(ctx context.Context, g Grant, body io.ReadSeeker, size int64) (up Uploaded, err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return up, fmt.Errorf("read what is uploaded: %w", err)
	}
	ctx, moved, stop := stall(ctx)
	defer stop()
	req, err := c.request(ctx, http.MethodPut, g.URL, io.NopCloser(movingReader{body, func(int) { moved() }}))
	if err != nil {
		return up, err
	}
	req.ContentLength = size
	for k, v := range g.Headers {
		req.Header.Set(k, v)
	}
	resp, err := c.do(req)
	if err != nil {
		return up, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&up); err != nil {
		return up, fmt.Errorf("answer to the upload: %w", err)
	}
	return up, nil
}
