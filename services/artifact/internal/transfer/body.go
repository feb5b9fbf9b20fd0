package transfer

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// body reads an upload. It fails when nothing arrives for too long, checks the first bytes, and reports progress.
type body struct {
	r     io.Reader
	stall time.Duration
	// silence ends a read after stall without a byte; a pause of this process does not count.
	silence *pause.Silence
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
	ctl := http.NewResponseController(w)
	return &body{r: r.Body, stall: stall, silence: pause.NewSuspendedSilence(stall, func() {
		_ = ctl.SetReadDeadline(time.Now()) // it wakes the read; a connection without deadlines has the store's own stall timeout
	})}
}

func (b *body) close() { b.silence.Stop() }

// onBytes is called after reportBytes or reportEvery, whichever comes first, so that slow uploads count as alive.
const (
	reportBytes = 8 << 20
	reportEvery = time.Second
)

func (b *body) Read(p []byte) (int, error) {
	b.silence.Touch()
	n, err := b.r.Read(p)
	b.silence.Suspend()
	if e := b.inspect(p[:n], err == io.EOF); e != nil {
		return 0, e
	}
	switch {
	case err == io.EOF:
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, problem.Because(problem.ErrStalled, err, "nothing arrived for %s; the upload was given up", b.stall)
	case err != nil:
		return n, problem.Because(problem.ErrCut, err, "the upload was cut off")
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
