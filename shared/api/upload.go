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
)

// pieceTries bounds how often a piece is sent while the server confirms nothing of it.
const pieceTries = 10

// Upload sends all of body with a grant, in pieces of AppendBytes: when the line breaks, it goes on after what the server has.
// Two pieces are held in memory. If what was stored has not the SHA-256 of what was sent, it is ErrCorrupt. progress hears of
// bytes sent for the first time; nil for none. A body whose Read hangs must end with ctx.
func (c *Client) Upload(ctx context.Context, g Grant, body io.Reader, progress func(n int)) (Uploaded, error) {
	ctx, cancel := context.WithCancel(ctx)
	pieces := cutUp(ctx, body)
	defer pieces.wait()
	defer cancel()
	u := &outgoing{client: c, grant: g, hash: sha256.New(), progress: progress}
	for {
		p, err := pieces.next(ctx)
		if err != nil {
			return Uploaded{}, err
		}
		up, err := u.send(ctx, p)
		if err != nil || p.last {
			return up, err
		}
		pieces.free <- p.data[:cap(p.data)]
	}
}

// outgoing is an upload under way.
type outgoing struct {
	client   *Client
	grant    Grant
	hash     hash.Hash
	at       int64 // confirmed by the server
	told     int64 // to progress
	progress func(int)
}

// send brings one piece over.
func (u *outgoing) send(ctx context.Context, p piece) (up Uploaded, err error) {
	u.hash.Write(p.data)
	start, whole := u.at, u.at == 0 && p.last
	end := start + int64(len(p.data))
	again := u.client.again()
	for try := 1; ; try++ {
		before := u.at
		if up, err = u.once(ctx, p, start, whole, again.progress); err == nil && u.at == end {
			return up, u.verify(up, p.last)
		}
		if err == nil {
			err = fmt.Errorf("%w: the server kept %d of %d bytes", ErrUnreachable, u.at-start, end-start)
		}
		if try == pieceTries {
			return up, err
		}
		if stop := again.after(ctx, err); stop != nil {
			return up, stop
		}
		if whole {
			continue
		}
		if err := u.ask(ctx); err != nil && !worthAnotherTry(ctx, err) {
			return up, err
		}
		if u.at < start || u.at > end {
			return up, fmt.Errorf("%w: the server has %d bytes of the upload, and had confirmed %d", ErrCorrupt, u.at, start)
		}
		if u.at == end && !p.last { // only the answer was lost
			return up, nil
		}
		if u.at > before {
			try = 0
		}
	}
}

// once makes one request with what is missing of a piece that begins at start.
func (u *outgoing) once(ctx context.Context, p piece, start int64, whole bool, progress func()) (up Uploaded, err error) {
	ctx, moved, stop := u.client.stall(ctx)
	defer stop()
	data := p.data[u.at-start:]
	at := u.at
	body := &lent{r: movingReader{bytes.NewReader(data), func(n int) {
		moved()
		progress()
		at += int64(n)
		u.tell(at)
	}}}
	defer body.takeBack()
	method := http.MethodPatch
	if whole {
		method = http.MethodPut
	}
	req, err := u.request(ctx, method, body)
	if err != nil {
		return up, err
	}
	if req.ContentLength = int64(len(data)); len(data) == 0 {
		req.Body = http.NoBody // else net/http would not know that there is nothing
	}
	if !whole {
		req.Header.Set(OffsetHeader, strconv.FormatInt(u.at, 10))
		req.Header.Set(CompleteHeader, map[bool]string{true: Complete, false: Incomplete}[p.last])
	}
	resp, err := u.client.do(req)
	if err != nil {
		return up, err
	}
	defer resp.Body.Close()
	if !p.last {
		u.at, err = offsetOf(resp)
		return up, err
	}
	if err := u.client.decode(ctx, resp, &up); err != nil {
		return up, err
	}
	u.at += int64(len(data))
	return up, nil
}

// tell counts each byte once, however often it is sent.
func (u *outgoing) tell(at int64) {
	if n := at - u.told; n > 0 && u.progress != nil {
		u.told = at
		u.progress(int(n))
	}
}

// ask asks the server how far the upload is.
func (u *outgoing) ask(ctx context.Context) error {
	ctx, _, stop := u.client.stall(ctx)
	defer stop()
	req, err := u.request(ctx, http.MethodHead, nil)
	if err != nil {
		return err
	}
	resp, err := u.client.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	u.at, err = offsetOf(resp)
	return err
}

func offsetOf(resp *http.Response) (int64, error) {
	at, err := strconv.ParseInt(resp.Header.Get(OffsetHeader), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: the server does not say how much of the upload it has", ErrUnreachable)
	}
	return at, nil
}

func (u *outgoing) request(ctx context.Context, method string, body io.Reader) (*http.Request, error) {
	req, err := u.client.request(ctx, method, u.grant.URL, body)
	if err != nil {
		return nil, err
	}
	for k, v := range u.grant.Headers {
		req.Header.Set(k, v)
	}
	return req, nil
}

// verify compares what was stored with what was sent.
func (u *outgoing) verify(up Uploaded, last bool) error {
	sum := hex.EncodeToString(u.hash.Sum(nil))
	if last && (up.Size != u.at || up.SHA256 != sum) {
		return fmt.Errorf("%w: sent %d bytes, SHA-256 %s; stored %d, %s", ErrCorrupt, u.at, sum, up.Size, up.SHA256)
	}
	return nil
}

// errOver: the request is over, its body is not read any more.
var errOver = errors.New("the request is over")

// lent is a body that can be taken back from net/http, which may still read when the answer is there.
type lent struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, errOver
	}
	return l.r.Read(p)
}

// takeBack waits for a read under way.
func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r = nil
}
