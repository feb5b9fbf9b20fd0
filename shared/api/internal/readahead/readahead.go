package readahead

import (
	"context"
	"errors"
	"io"
)

// Chunk is the next bytes of a stream.
type Chunk struct {
	Data []byte
	// Last: the stream ends with this chunk, which may be empty.
	Last bool

	err error
}

// Reader reads at most one chunk ahead, so that two are in memory. It has one user.
type Reader struct {
	size  int
	ready chan Chunk
	free  chan []byte
	done  chan struct{}
}

// Start begins to read chunks of size bytes. The caller must end ctx and then call Wait.
func Start(ctx context.Context, body io.Reader, size int) *Reader {
	r := &Reader{size: size, ready: make(chan Chunk), free: make(chan []byte, 2), done: make(chan struct{})}
	r.free <- nil
	r.free <- nil
	go r.run(ctx, body)
	return r
}

func (r *Reader) run(ctx context.Context, body io.Reader) {
	defer close(r.done)
	for ended := false; !ended; {
		var buf []byte
		select {
		case buf = <-r.free:
		case <-ctx.Done():
			return
		}
		if buf == nil { // allocated when it is needed: most streams have one chunk
			buf = make([]byte, r.bufferSize(body))
		}
		n, err := fill(body, buf)
		next := Chunk{Data: buf[:n], Last: errors.Is(err, io.EOF)}
		if err != nil && !next.Last {
			next.err = err
		}
		ended = err != nil
		select {
		case r.ready <- next:
		case <-ctx.Done():
			return
		}
	}
}

// bufferSize is at most what the body says that it holds, and one byte to meet its end. Then many small streams at once take no more
// memory than they have bytes.
func (r *Reader) bufferSize(body io.Reader) int {
	switch sized := body.(type) {
	case interface{ Len() int }:
		return min(sized.Len()+1, r.size)
	case *io.SectionReader:
		return int(min(sized.Size()+1, int64(r.size)))
	default:
		return r.size
	}
}

// fill reads until buf is full or the body ends. It is not io.ReadFull because only the body's own io.EOF is its end.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// Next returns the next chunk. It returns the body's error, or the cause of ctx if that ends first.
func (r *Reader) Next(ctx context.Context) (Chunk, error) {
	select {
	case next := <-r.ready:
		return next, next.err
	case <-ctx.Done():
		return Chunk{}, context.Cause(ctx)
	}
}

// Recycle gives the memory of a chunk back. The caller must not use the chunk any more.
func (r *Reader) Recycle(c Chunk) { r.free <- c.Data[:cap(c.Data)] }

// Wait returns when the body is not read any more.
func (r *Reader) Wait() { <-r.done }
