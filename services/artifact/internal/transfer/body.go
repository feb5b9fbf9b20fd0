package transfer

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// body reads an upload. It fails when nothing arrives for too long, checks the first bytes, and reports progress.
type body struct {
	r     *httpx.StallReader
	stall time.Duration
	// onHead is called once, with the first archive.MagicLen bytes or all there are; its error ends the upload.
	onHead func(head []byte) error
	// onBytes is called now and then with the bytes since the last call; its error ends the upload. It may be nil.
	onBytes func(n int64) error

	head     []byte
	known    bool // onHead was called
	pending  int64
	reported time.Time // when onBytes was last called
}

// newBody returns the body of an upload. Close it before the handler returns: then the connection belongs to another request.
func newBody(w http.ResponseWriter, r *http.Request, stall time.Duration) *body {
	return &body{r: httpx.NewStallReader(w, r, stall), stall: stall}
}

func (b *body) close() { b.r.Stop() }

// onBytes is called after reportBytes or reportEvery, whichever comes first, so that slow uploads count as alive.
const (
	reportBytes = 8 << 20
	reportEvery = time.Second
)

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if e := b.inspect(p[:n], errors.Is(err, io.EOF)); e != nil {
		return 0, e
	}
	switch {
	case errors.Is(err, io.EOF):
		return n, err
	case httpx.IsStalled(err):
		return n, httpx.Because(httpx.ErrStalled, err, "nothing arrived for %s; the upload was given up", b.stall)
	case err != nil:
		return n, httpx.Because(problem.ErrCut, err, "the upload was cut off")
	}
	return n, nil
}

func (b *body) inspect(p []byte, end bool) error {
	if err := b.sniff(p, end); err != nil {
		return err
	}
	now := time.Now()
	if b.pending += int64(len(p)); b.onBytes == nil || b.pending < reportBytes && now.Sub(b.reported) < reportEvery {
		return nil
	}
	n := b.pending
	b.pending, b.reported = 0, now
	return b.onBytes(n)
}

func (b *body) sniff(p []byte, end bool) error {
	if b.known {
		return nil
	}
	b.head = append(b.head, p[:min(len(p), archive.MagicLen-len(b.head))]...)
	if len(b.head) < archive.MagicLen && !end {
		return nil
	}
	b.known = true
	if b.onHead == nil {
		return nil
	}
	return b.onHead(b.head)
}
