package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// frameBytes is when a frame is closed: large enough to compress well, small enough that a line in the middle of a log costs
	// one of them.
	frameBytes = 256 << 10
	// maxLineBytes is what is kept of one line; the gateway takes 64 KiB at most, and escaping doubles it at worst.
	maxLineBytes = 1 << 20
	// maxPlain is what a frame decodes to at most.
	maxPlain = frameBytes + 2*maxLineBytes + 1<<10
)

// Info is what a Writer wrote.
type Info struct {
	Lines int64
	// Bytes of the file.
	Bytes int64
}

// Writer writes an archive. It belongs to one goroutine. After an error it is of no use.
type Writer struct {
	w      io.Writer
	zstd   *zstd.Encoder
	plain  []byte
	packed []byte
	open   frame // the one that plain will be
	frames []frame
	next   int64 // line number
	bytes  int64
}

// NewWriter writes to w, which gets a frame at a time.
func NewWriter(w io.Writer) (*Writer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("write log archive: %w", err)
	}
	return &Writer{w: w, zstd: z, next: 1}, nil
}

// Write adds a line; it gets the number after the last one's.
func (w *Writer) Write(l Line) error {
	if len(w.plain) == 0 {
		w.open = frame{first: w.next, atMs: l.AtMs}
	}
	l.Text = text.Cut(l.Text, maxLineBytes)
	w.plain = appendLine(w.plain, l)
	w.next++
	if len(w.plain) < frameBytes {
		return nil
	}
	return w.flush()
}

func (w *Writer) flush() error {
	if len(w.plain) == 0 {
		return nil
	}
	w.packed = w.zstd.EncodeAll(w.plain, w.packed[:0])
	f := w.open
	f.offset, f.size, f.plain, f.lines = w.bytes, int64(len(w.packed)), int64(len(w.plain)), w.next-w.open.first
	w.frames = append(w.frames, f)
	w.plain = w.plain[:0]
	return w.send(w.packed)
}

func (w *Writer) send(b []byte) error {
	n, err := w.w.Write(b)
	w.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("write log archive: %w", err)
	}
	return nil
}

// Append copies the frames of an archive, before any line was written: what follows continues its numbers.
func (w *Writer) Append(ctx context.Context, r *Reader) error {
	if w.next != 1 {
		return errors.New("write log archive: appended to an archive that has lines")
	}
	err := r.groups(ctx, r.frames, func(fs []frame, packed []byte) error { return w.send(packed) })
	if err != nil {
		return err
	}
	w.frames, w.next = append(w.frames, r.frames...), r.Lines()+1
	return nil
}

// Lines is how many there are so far.
func (w *Writer) Lines() int64 { return w.next - 1 }

// Close writes the last frame and the index. It does not close what is underneath.
func (w *Writer) Close(marks ...Mark) (Info, error) {
	if err := w.flush(); err != nil {
		return Info{}, err
	}
	if err := w.send(appendIndex(nil, w.frames, marks)); err != nil {
		return Info{}, err
	}
	return Info{Lines: w.Lines(), Bytes: w.bytes}, nil
}
