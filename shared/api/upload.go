package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/expo-free-agent/freeagent/shared/api/internal/readahead"
)

// chunkTries bounds how often a chunk is sent while the server confirms nothing of it.
const chunkTries = 10

// Upload sends all of body with a grant, in chunks of AppendBytes. When the connection breaks, it resumes after what the server has.
// Two chunks are held in memory. Upload returns ErrCorrupt if the SHA-256 of what was stored is not that of what was sent. progress is
// called with the number of bytes that were sent for the first time; nil for none. A Read of the body that blocks must end with ctx.
func (s *ObjectsService) Upload(ctx context.Context, g Grant, body io.Reader, progress func(n int)) (Uploaded, error) {
	ctx, cancel := context.WithCancel(ctx)
	chunks := readahead.Start(ctx, body, AppendBytes)
	defer chunks.Wait()
	defer cancel()
	u := &uploadSession{conn: s.conn, grant: g, hash: sha256.New(), progress: progress}
	for {
		c, err := chunks.Next(ctx)
		if err != nil {
			return Uploaded{}, err
		}
		up, err := u.send(ctx, c)
		if err != nil || c.Last {
			return up, err
		}
		chunks.Recycle(c)
	}
}

// uploadSession is an upload in progress.
type uploadSession struct {
	conn  *conn
	grant Grant
	hash  hash.Hash
	// offset is what the server has confirmed, reported what progress was called with.
	offset, reported int64
	progress         func(int)
}

// send sends one chunk until the server has confirmed all of it.
func (u *uploadSession) send(ctx context.Context, c readahead.Chunk) (up Uploaded, err error) {
	u.hash.Write(c.Data)
	start, whole := u.offset, u.offset == 0 && c.Last
	end := start + int64(len(c.Data))
	retrier := u.conn.newRetrier()
	for try := 1; ; try++ {
		before := u.offset
		if up, err = u.request(ctx, c, start, whole, retrier.progress); err == nil && u.offset == end {
			return up, u.verify(up, c.Last)
		}
		if err == nil {
			err = fmt.Errorf("%w: the server kept %d of %d bytes", ErrUnreachable, u.offset-start, end-start)
		}
		if try == chunkTries {
			return up, err
		}
		if stop := retrier.next(ctx, err); stop != nil {
			return up, stop
		}
		if whole {
			continue
		}
		if err := u.readOffset(ctx); err != nil && !retryable(ctx, err) {
			return up, err
		}
		if u.offset < start || u.offset > end {
			return up, fmt.Errorf("%w: the server has %d bytes of the upload, and had confirmed %d", ErrCorrupt, u.offset, start)
		}
		if u.offset == end && !c.Last { // only the answer was lost
			return up, nil
		}
		if u.offset > before {
			try = 0
		}
	}
}

// request is one try to send what is missing of a chunk that begins at start.
func (u *uploadSession) request(ctx context.Context, c readahead.Chunk, start int64, whole bool, progress func()) (up Uploaded, err error) {
	ctx, touch, stop := u.conn.withStallTimeout(ctx)
	defer stop()
	data := c.Data[u.offset-start:]
	sent := u.offset
	body := &revocableReader{r: progressReader{bytes.NewReader(data), func(n int) {
		touch()
		progress()
		sent += int64(n)
		u.report(sent)
	}}}
	defer body.revoke()
	method := http.MethodPatch
	if whole {
		method = http.MethodPut
	}
	req, err := u.newRequest(ctx, method, body)
	if err != nil {
		return up, err
	}
	if req.ContentLength = int64(len(data)); len(data) == 0 {
		req.Body = http.NoBody // else net/http would not know that there is nothing
	}
	if !whole {
		req.Header.Set(OffsetHeader, strconv.FormatInt(u.offset, 10))
		req.Header.Set(CompleteHeader, map[bool]string{true: Complete, false: Incomplete}[c.Last])
	}
	resp, err := u.conn.do(req)
	if err != nil {
		return up, err
	}
	defer resp.Body.Close()
	if !c.Last {
		u.offset, err = offsetOf(resp)
		return up, err
	}
	if err := u.conn.decode(ctx, resp, &up); err != nil {
		return up, err
	}
	u.offset += int64(len(data))
	return up, nil
}

// report counts each byte once, however often it is sent.
func (u *uploadSession) report(sent int64) {
	if n := sent - u.reported; n > 0 && u.progress != nil {
		u.reported = sent
		u.progress(int(n))
	}
}

// readOffset asks the server how much of the upload it has.
func (u *uploadSession) readOffset(ctx context.Context) error {
	ctx, _, stop := u.conn.withStallTimeout(ctx)
	defer stop()
	req, err := u.newRequest(ctx, http.MethodHead, nil)
	if err != nil {
		return err
	}
	resp, err := u.conn.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	u.offset, err = offsetOf(resp)
	return err
}

func offsetOf(resp *http.Response) (int64, error) {
	offset, err := strconv.ParseInt(resp.Header.Get(OffsetHeader), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: the server does not say how much of the upload it has", ErrUnreachable)
	}
	return offset, nil
}

func (u *uploadSession) newRequest(ctx context.Context, method string, body io.Reader) (*http.Request, error) {
	req, err := u.conn.newRequest(ctx, method, u.grant.URL, body)
	if err != nil {
		return nil, err
	}
	for k, v := range u.grant.Headers {
		req.Header.Set(k, v)
	}
	return req, nil
}

// verify compares what was stored with what was sent.
func (u *uploadSession) verify(up Uploaded, last bool) error {
	sum := hex.EncodeToString(u.hash.Sum(nil))
	if last && (up.Size != u.offset || up.SHA256 != sum) {
		return fmt.Errorf("%w: sent %d bytes, SHA-256 %s; stored %d, %s", ErrCorrupt, u.offset, sum, up.Size, up.SHA256)
	}
	return nil
}

var errRevoked = errors.New("the request has ended")

// revocableReader is a body that can be revoked from net/http, which may still read it when the answer is there.
type revocableReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (b *revocableReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == nil {
		return 0, errRevoked
	}
	return b.r.Read(p)
}

// revoke waits for a read in progress and fails those that follow.
func (b *revocableReader) revoke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = nil
}
