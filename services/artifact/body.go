package artifact

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// body is an upload as it arrives: it ends when nothing arrives for too long, looks at the first bytes, and watches the disk.
type body struct {
	r     io.Reader
	stall time.Duration
	// deadline bounds the reads of the connection; the zero time takes the bound away. nil: there is none to set.
	deadline func(time.Time) error
	// sniffed is called once, with the first archive.MagicLen bytes or all there are; its error ends the upload.
	sniffed func(head []byte) error
	// arrived is called every now and then with the bytes since; its error ends the upload. nil is allowed, too.
	arrived func(n int64) error

	head    []byte
	known   bool // sniffed was called
	pending int64
	told    time.Time // when arrived was last called
	armed   time.Time
}

// reportBytes and reportEvery: whichever comes first has arrived called, so that slow uploads are noticed to be alive.
const (
	reportBytes = 8 << 20
	reportEvery = time.Second
)

func (b *body) Read(p []byte) (int, error) {
	b.arm()
	n, err := b.r.Read(p)
	if e := b.look(p[:n], err == io.EOF); e != nil {
		return 0, e
	}
	switch {
	case err == io.EOF:
		b.disarm()
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, because(errStalled, err, "nothing arrived for %s; the upload was given up", b.stall)
	case err != nil:
		return n, because(errCut, err, "the upload was cut off")
	}
	return n, nil
}

// arm gives the next read its time. A second's slack spares a system call for each of many small reads.
func (b *body) arm() {
	if now := time.Now(); b.deadline != nil && now.Sub(b.armed) > min(time.Second, b.stall/4) {
		_ = b.deadline(now.Add(b.stall)) // a connection without deadlines has the store's own stall timeout
		b.armed = now
	}
}

// disarm matters: a deadline that passes while the store completes the upload would look like a lost client.
func (b *body) disarm() {
	if b.deadline != nil {
		_ = b.deadline(time.Time{})
	}
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
