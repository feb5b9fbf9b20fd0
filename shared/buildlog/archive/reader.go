package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Source is where an archive lies.
type Source interface {
	// Size of the file in bytes.
	Size() int64
	// ReadAt fills p from the offset on, or fails.
	ReadAt(ctx context.Context, p []byte, offset int64) error
}

const (
	// tailBytes is what is read of the end at first: with it a log of some 500,000 lines is open.
	tailBytes = 16 << 10
	// groupBytes is how much is asked for at once.
	groupBytes = 1 << 20
	// maxIndex bounds what a damaged or hostile file makes us hold.
	maxIndex = 64 << 20
)

// decoder of all readers: it is safe for concurrent use and keeps what it allocates.
//
//nolint:gochecknoglobals // made once, of constants
var plainText = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPlain))
})

// Reader reads an archive. It is safe for concurrent use as far as its Source is.
type Reader struct {
	src    Source
	frames []frame
	marks  []Mark
	lines  int64
}

// Open reads the index. What is no archive is ErrCorrupt.
func Open(ctx context.Context, src Source) (*Reader, error) {
	tail, err := readTail(ctx, src, tailBytes)
	if err != nil {
		return nil, err
	}
	n, err := footer(tail)
	if err != nil {
		return nil, err
	}
	if seekLength(n) > src.Size() {
		return nil, fmt.Errorf("%w: its seek table is longer than the file", ErrCorrupt)
	}
	if tail, err = atLeast(ctx, src, tail, seekLength(n)); err != nil {
		return nil, err
	}
	frames, end := parseSeek(tail, n)
	if end > src.Size()-seekLength(n) {
		return nil, fmt.Errorf("%w: its frames are longer than the file", ErrCorrupt)
	}
	if tail, err = atLeast(ctx, src, tail, src.Size()-end); err != nil {
		return nil, err
	}
	r := &Reader{src: src, frames: frames}
	index := tail[int64(len(tail))-(src.Size()-end) : int64(len(tail))-seekLength(n)]
	r.marks, r.lines, err = parseIndex(index, frames)
	return r, err
}

func readTail(ctx context.Context, src Source, n int64) ([]byte, error) {
	n = min(n, src.Size())
	if n > maxIndex {
		return nil, fmt.Errorf("%w: an index of %d bytes", ErrCorrupt, n)
	}
	tail := make([]byte, n)
	if err := src.ReadAt(ctx, tail, src.Size()-n); err != nil {
		return nil, fmt.Errorf("read log archive: %w", err)
	}
	return tail, nil
}

// atLeast reads more of the end if tail is shorter than n.
func atLeast(ctx context.Context, src Source, tail []byte, n int64) ([]byte, error) {
	if int64(len(tail)) >= n {
		return tail, nil
	}
	return readTail(ctx, src, n)
}

// Lines is how many the archive has.
func (r *Reader) Lines() int64 { return r.lines }

// Marks are what Writer.Close was given.
func (r *Reader) Marks() []Mark { return r.marks }

// Read returns the lines from number from to number to to f, in order; to <= 0 is the last. f's error ends it; ErrStop does so
// without being one.
func (r *Reader) Read(ctx context.Context, from, to int64, f func(Line) error) error {
	if to <= 0 || to > r.lines {
		to = r.lines
	}
	if from = max(from, 1); from > to {
		return nil
	}
	begin := sort.Search(len(r.frames), func(i int) bool { return r.frames[i].first+r.frames[i].lines > from })
	end := sort.Search(len(r.frames), func(i int) bool { return r.frames[i].first > to })
	w := &window{from: from, to: to, f: f}
	err := r.groups(ctx, r.frames[begin:end], w.group)
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// groups reads frames that lie together with one request for about a megabyte of them.
func (r *Reader) groups(ctx context.Context, frames []frame, f func([]frame, []byte) error) error {
	var buf []byte
	for len(frames) > 0 {
		n, size := 1, frames[0].size
		for n < len(frames) && size+frames[n].size <= groupBytes {
			size += frames[n].size
			n++
		}
		if size > maxPlain { // what is larger than it could be when decoded is none of ours
			return fmt.Errorf("%w: a frame of %d bytes", ErrCorrupt, size)
		}
		if int64(cap(buf)) < size {
			buf = make([]byte, size)
		}
		if err := r.src.ReadAt(ctx, buf[:size], frames[0].offset); err != nil {
			return fmt.Errorf("read log archive: %w", err)
		}
		if err := f(frames[:n], buf[:size]); err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// window is the part of an archive that a reader wants.
type window struct {
	from, to int64
	f        func(Line) error
	plain    []byte
}

func (w *window) group(frames []frame, packed []byte) error {
	z, err := plainText()
	if err != nil {
		return fmt.Errorf("read log archive: %w", err)
	}
	base := frames[0].offset
	for _, f := range frames {
		at := f.offset - base
		if w.plain, err = z.DecodeAll(packed[at:at+f.size], w.plain[:0]); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err := w.frame(f); err != nil {
			return err
		}
	}
	return nil
}

func (w *window) frame(f frame) error {
	rest, number := w.plain, f.first
	for ; len(rest) > 0; number++ {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return fmt.Errorf("%w: a frame ends within a line", ErrCorrupt)
		}
		if number >= w.from && number <= w.to {
			l, err := parseLine(rest[:end])
			if err != nil {
				return err
			}
			l.Number = number
			if err := w.f(l); err != nil {
				return err
			}
		}
		rest = rest[end+1:]
	}
	if number != f.first+f.lines {
		return fmt.Errorf("%w: a frame has %d lines instead of %d", ErrCorrupt, number-f.first, f.lines)
	}
	return nil
}

// Memory is an archive in memory.
type Memory []byte

// Size implements Source.
func (m Memory) Size() int64 { return int64(len(m)) }

// ReadAt implements Source.
func (m Memory) ReadAt(_ context.Context, p []byte, offset int64) error {
	if offset < 0 || offset+int64(len(p)) > int64(len(m)) {
		return io.ErrUnexpectedEOF
	}
	copy(p, m[offset:])
	return nil
}
