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
	"strconv"
	"strings"
)

// Grant lets its holder move one object's bytes: the HTTP side of artifact.v1.Grant.
type Grant struct {
	Method string
	// URL is absolute, or a path of the gateway's.
	URL     string
	Headers map[string]string
}

// Get writes a granted object to w, in order, and takes a broken transfer up where it broke. size and sha256Hex are what was
// promised; anything else is ErrCorrupt. A size of 0 or an empty sum is not known and not checked.
func (c *Client) Get(ctx context.Context, g Grant, w io.Writer, size int64, sha256Hex string) error {
	d := &download{client: c, w: w, hash: sha256.New(), header: g.Headers, size: size}
	return d.run(ctx, g.URL, sha256Hex)
}

// Download writes a build's result to w from offset on. What is before the offset has been written earlier and was hashed
// into seen (nil for offset 0). progress hears of bytes received; nil for none. A build without a result is ErrNoResult.
func (c *Client) Download(ctx context.Context, b Build, w io.Writer, offset int64, seen hash.Hash, progress func(n int)) error {
	if b.Result == nil {
		return fmt.Errorf("build %s: %w", b.ID, ErrNoResult)
	}
	if seen == nil {
		seen = sha256.New()
	}
	d := &download{client: c, w: w, hash: seen, done: offset, authorized: true, progress: progress, size: b.Result.Size}
	return d.run(ctx, buildPath(b.ID, "/result"), b.Result.SHA256)
}

type download struct {
	client     *Client
	w          io.Writer
	hash       hash.Hash
	header     map[string]string
	authorized bool
	size, done int64
	progress   func(n int)
}

func (d *download) run(ctx context.Context, url, sum string) error {
	for again := d.client.again(); ; {
		before := d.done
		err := d.once(ctx, url)
		if err == nil {
			break
		}
		if d.done > before {
			again.progress()
		}
		if err := again.after(ctx, err); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("%w: got %s, want %s", ErrCorrupt, got, sum)
	}
	return nil
}

func (d *download) once(ctx context.Context, url string) error {
	if d.size > 0 && d.done >= d.size {
		return nil
	}
	ctx, moved, stop := d.client.stall(ctx)
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
	body := movingReader{resp.Body, func(int) { moved() }}
	if err := d.align(resp, body); err != nil {
		return d.broken(ctx, err)
	}
	return d.copy(ctx, body)
}

// align brings the body to the first byte that is missing: a server may go on there, or begin anew.
func (d *download) align(resp *http.Response, body io.Reader) error {
	begins := int64(0)
	if resp.StatusCode == http.StatusPartialContent {
		from, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
		var err error
		if begins, err = strconv.ParseInt(from, 10, 64); err != nil {
			begins = -1
		}
	}
	if begins < 0 || begins > d.done {
		return fmt.Errorf("%w: the server does not go on where the transfer broke", ErrCorrupt)
	}
	_, err := io.CopyN(io.Discard, body, d.done-begins)
	return err
}

const copyBuffer = 128 << 10

func (d *download) copy(ctx context.Context, body io.Reader) error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buf)
		if ctx.Err() != nil { // what is in the pipe already would otherwise still come
			return d.broken(ctx, ctx.Err())
		}
		if n > 0 {
			if err := d.take(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && (d.size <= 0 || d.done == d.size):
			return nil
		case err != nil:
			return d.broken(ctx, err)
		}
	}
}

func (d *download) take(p []byte) error {
	if d.size > 0 && d.done+int64(len(p)) > d.size {
		return fmt.Errorf("%w: more than the %d bytes promised", ErrCorrupt, d.size)
	}
	if _, err := d.w.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	d.hash.Write(p)
	d.done += int64(len(p))
	if d.progress != nil {
		d.progress(len(p))
	}
	return nil
}

func (d *download) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("download: %w", context.Cause(ctx))
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the download broke off at %d of %d bytes: %w", d.done, d.size, err)
}
