package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// download is a transfer that resumes where it broke.
type download struct {
	conn *conn
	w    io.Writer
	hash hash.Hash
	// header is that of a grant; without one the client's credentials are sent.
	header map[string]string
	// size is what was announced, 0 if that is unknown; done is what has been written.
	size, done int64
	progress   func(n int)
}

// run downloads what is missing and compares the SHA-256 with sum, if that is not empty.
func (d *download) run(ctx context.Context, url, sum string) error {
	for retrier := d.conn.newRetrier(); ; {
		before := d.done
		err := d.request(ctx, url)
		if err == nil {
			break
		}
		if d.done > before {
			retrier.progress()
		}
		if err := retrier.next(ctx, err); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(d.hash.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("%w: got %s, want %s", ErrCorrupt, got, sum)
	}
	return nil
}

// request is one try to download the rest.
func (d *download) request(ctx context.Context, url string) error {
	if d.size > 0 && d.done >= d.size {
		return nil
	}
	ctx, touch, stop := d.conn.withStallTimeout(ctx)
	defer stop()
	req, err := d.conn.newRequest(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for k, v := range d.header {
		req.Header.Set(k, v)
	}
	if d.header == nil {
		d.conn.authorize(req)
	}
	if d.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
	}
	resp, err := d.conn.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := progressReader{resp.Body, func(int) { touch() }}
	if err := d.skipTo(resp, body); err != nil {
		return d.broken(ctx, err)
	}
	return d.copy(ctx, body)
}

// skipTo moves the body to the first byte that is missing: a server may resume there or start again.
func (d *download) skipTo(resp *http.Response, body io.Reader) error {
	start := int64(0)
	if resp.StatusCode == http.StatusPartialContent {
		from, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
		var err error
		if start, err = strconv.ParseInt(from, 10, 64); err != nil {
			start = -1
		}
	}
	if start < 0 || start > d.done {
		return fmt.Errorf("%w: the server does not resume where the transfer broke", ErrCorrupt)
	}
	_, err := io.CopyN(io.Discard, body, d.done-start)
	return err
}

const copyBuffer = 128 << 10

func (d *download) copy(ctx context.Context, body io.Reader) error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buf)
		if ctx.Err() != nil { // else bytes that have arrived already would still be written
			return d.broken(ctx, ctx.Err())
		}
		if n > 0 {
			if err := d.write(buf[:n]); err != nil {
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

// write adds the next bytes to the file and the hash.
func (d *download) write(p []byte) error {
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
