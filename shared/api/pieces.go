package api

import (
	"context"
	"errors"
	"io"
)

// piece is AppendBytes of an upload, or its end.
type piece struct {
	data []byte
	last bool
	err  error
}

// pieces reads ahead: while one piece is on its way the next is made.
type pieces struct {
	ready chan piece
	free  chan []byte
	done  chan struct{}
}

// cutUp begins to read. The caller must end ctx and then wait.
func cutUp(ctx context.Context, body io.Reader) *pieces {
	p := &pieces{ready: make(chan piece), free: make(chan []byte, 2), done: make(chan struct{})}
	p.free <- nil
	p.free <- nil
	go p.read(ctx, body)
	return p
}

func (p *pieces) read(ctx context.Context, body io.Reader) {
	defer close(p.done)
	for ended := false; !ended; {
		var buf []byte
		select {
		case buf = <-p.free:
		case <-ctx.Done():
			return
		}
		if buf == nil { // made when it is needed: most uploads have one piece
			buf = make([]byte, room(body))
		}
		n, err := fill(body, buf)
		next := piece{data: buf[:n], last: errors.Is(err, io.EOF)}
		if err != nil && !next.last {
			next.err = err
		}
		ended = err != nil
		select {
		case p.ready <- next:
		case <-ctx.Done():
			return
		}
	}
}

// room is how much a piece may have: no more than the body says that it holds, and one byte to meet its end. Then many small
// uploads at once cost what they are.
func room(body io.Reader) int {
	switch sized := body.(type) {
	case interface{ Len() int }:
		return min(sized.Len()+1, AppendBytes)
	case *io.SectionReader:
		return int(min(sized.Size()+1, AppendBytes))
	default:
		return AppendBytes
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

func (p *pieces) next(ctx context.Context) (piece, error) {
	select {
	case next := <-p.ready:
		return next, next.err
	case <-ctx.Done():
		return piece{}, context.Cause(ctx)
	}
}

func (p *pieces) wait() { <-p.done }
