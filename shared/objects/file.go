package objects

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// readAhead is what one ranged request of a File fetches, in bytes, and all
// the memory that a File holds. A zip's directory of 10,000 entries takes one
// or two requests.
const readAhead = 1 << 20

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string) (File, error) { return OpenFile(ctx, s, key) }

// OpenFile gives random access to an object of any store through its Stat and
// Get. ctx covers every read.
func OpenFile(ctx context.Context, store Store, key string) (File, error) {
	info, err := store.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	return &file{ctx: ctx, store: store, info: info}, nil
}

// file keeps one window of the object. The context is a field because
// io.ReaderAt has none.
type file struct {
	ctx   context.Context
	store Store
	info  Info

	mu     sync.Mutex
	window []byte // content from start
	start  int64
	closed bool
}

func (f *file) Size() int64 { return f.info.Size }

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window, f.closed = nil, true
	return nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read object %q: %w: offset %d", f.info.Key, ErrRange, off)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(p) {
		if off+int64(n) >= f.info.Size {
			return n, io.EOF
		}
		if err := f.seek(off + int64(n)); err != nil {
			return n, err
		}
		n += copy(p[n:], f.window[off+int64(n)-f.start:])
	}
	return n, nil
}

// seek makes the window hold the byte at off.
func (f *file) seek(off int64) error {
	if f.closed {
		return fmt.Errorf("read object %q: %w", f.info.Key, io.ErrClosedPipe)
	}
	if off >= f.start && off < f.start+int64(len(f.window)) {
		return nil
	}
	length := min(readAhead, f.info.Size-off)
	body, info, err := f.store.Get(f.ctx, f.info.Key, off, length)
	if err != nil {
		return err
	}
	defer body.Close()
	if info.ETag != f.info.ETag || info.Size != f.info.Size {
		return fmt.Errorf("read object %q: %w: it was replaced while being read", f.info.Key, ErrCorrupt)
	}
	return f.load(body, off, length)
}

func (f *file) load(body io.Reader, off, length int64) error {
	if int64(cap(f.window)) < length {
		f.window = make([]byte, length)
	}
	f.window = f.window[:length]
	n, err := io.ReadFull(body, f.window)
	f.window, f.start = f.window[:n], off
	if err != nil {
		f.window = f.window[:0]
		return fmt.Errorf("read object %q at %d: %w", f.info.Key, off, err)
	}
	return nil
}
