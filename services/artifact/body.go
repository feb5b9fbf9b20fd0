package artifact

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// body is an upload as it arrives: it ends when nothing arrives for too long, looks at the first bytes, and watches the disk.
type body struct {
	r     io.Reader
	stall time.Duration
	// silence ends a read after stall without a byte; a pause of this process does not count.
	silence *pause.Silence
	// sniffed is called once, with the first archive.MagicLen bytes or all there are; its error ends the upload.
	sniffed func(head []byte) error
	// arrived is called every now and then with the bytes since; its error ends the upload. nil is allowed, too.
	arrived func(n int64) error

	head    []byte
	known   bool // sniffed was called
	pending int64
	told    time.Time // when arrived was last called
}

// newBody returns the body of an upload. It must be closed before its handler returns: then the connection is another request's.
func newBody(w http.ResponseWriter, r *http.Request, stall time.Duration) *body {
	ctl := http.NewResponseController(w)
	return &body{r: r.Body, stall: stall, silence: pause.NewSuspendedSilence(stall, func() {
		_ = ctl.SetReadDeadline(time.Now()) // it wakes the read; a connection without deadlines has the store's own stall timeout
	})}
}

func (b *body) close() { b.silence.Stop() }

// reportBytes and reportEvery: whichever comes first has arrived called, so that slow uploads are noticed to be alive.
const (
	reportBytes = 8 << 20
	reportEvery = time.Second
)

func (b *body) Read(p []byte) (int, error) {
	b.silence.Touch()
	n, err := b.r.Read(p)
	b.silence.Suspend()
	if e := b.look(p[:n], err == io.EOF); e != nil {
		return 0, e
	}
	switch {
	case err == io.EOF:
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, because(errStalled, err, "nothing arrived for %s; the upload was given up", b.stall)
	case err != nil:
		return n, because(errCut, err, "the upload was cut off")
	}
	return n, nil
}

func (b *body) look(p []byte, end bool) error {
	if err := b.sniff(p, end); err != nil {
		return err
	}
	now := time.Now()
	if b.pending += int64(len(p)); b.arrived == nil || b.pending < reportBytes && now.Sub(b.told) < reportEvery {
		return nil
	}
	n := b.pending
	b.pending, b.told = 0, now
	return b.arrived(n)
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
	if b.sniffed == nil {
		return nil
	}
	return b.sniffed(b.head)
}
