package objects

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// source reads what is put: hashed, counted, held to its size and limit.
type source struct {
	r     io.Reader
	hash  hash.Hash
	dog   *watchdog
	read  int64
	size  int64 // exact, -1 unknown
	limit int64 // <= 0 none

	abandoned bool // a Read is still running and owns the buffer
}

func newSource(r io.Reader, size, limit int64, dog *watchdog) *source {
	return &source{r: r, hash: sha256.New(), dog: dog, size: size, limit: limit}
}

// fill reads one part; last says that the source has ended. The Read runs in
// a goroutine of its own because an upload's peer can hang and Read cannot be
// interrupted: fill then returns with the cause, and the goroutine ends when
// the peer's connection does.
func (s *source) fill(ctx, work context.Context, buf []byte) (n int, last bool, err error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	buf = s.window(buf)
	go func() {
		n, err := s.readPart(buf)
		done <- result{n, err}
	}()
	select {
	case got := <-done:
		return s.account(buf, got.n, got.err)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-work.Done():
		err = context.Cause(work)
	}
	s.abandoned = true
	return 0, false, err
}

func (s *source) account(buf []byte, n int, err error) (int, bool, error) {
	s.read += int64(n)
	s.hash.Write(buf[:n])
	ended := errors.Is(err, io.EOF)
	switch {
	case s.limit > 0 && s.read > s.limit:
		return 0, false, fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, s.limit)
	case s.size >= 0 && s.read > s.size:
		return 0, false, fmt.Errorf("%w: more than %d bytes", ErrSizeMismatch, s.size)
	case err != nil && !ended:
		return 0, false, fmt.Errorf("read source after %d bytes: %w", s.read, err)
	case ended && s.size >= 0 && s.read < s.size:
		return 0, false, fmt.Errorf("%d of %d bytes: %w", s.read, s.size, errShort)
	}
	return n, ended, nil
}

// window shortens buf so that one byte over the limit is enough to know.
func (s *source) window(buf []byte) []byte {
	if s.limit > 0 {
		buf = buf[:min(int64(len(buf)), s.limit-s.read+1)]
	}
	return buf
}

// readPart fills buf. It is not io.ReadFull because that answers
// io.ErrUnexpectedEOF for a short last part, which is also what a cut HTTP
// body answers: only io.EOF from the source itself may end an object.
func (s *source) readPart(buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = s.r.Read(buf[n:])
		n += m
		if m > 0 {
			s.dog.touch()
		}
	}
	return n, err
}
