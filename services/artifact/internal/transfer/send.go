package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// open returns the plain bytes of a part of an object. Its reader ends with io.EOF only if all bytes were there and, for the whole
// object, have the stored SHA-256; otherwise with objects.ErrCorrupt or an error of the store.
func (s *Transfers) open(ctx context.Context, o store.Object, part byteRange) (io.ReadCloser, error) {
	if o.WrappedKey != nil {
		return s.openSealed(ctx, o, part)
	}
	r, size, err := s.catalog.Open(ctx, o, part.start, part.length)
	if err != nil {
		return nil, err
	}
	if size != o.Size {
		return nil, errors.Join(fmt.Errorf("%w: %d bytes are stored instead of %d", objects.ErrCorrupt, size, o.Size), r.Close())
	}
	if part.length == o.Size {
		return objects.Verify(r, o.SHA256, o.Size), nil
	}
	return &exactly{ReadCloser: r, left: part.length}, nil
}

// openSealed decrypts into memory, at most MaxCertsBytes.
func (s *Transfers) openSealed(ctx context.Context, o store.Object, part byteRange) (io.ReadCloser, error) {
	r, size, err := s.catalog.Open(ctx, o, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > 2*catalog.MaxCertsBytes {
		return nil, fmt.Errorf("%w: %d bytes are too many for certs", objects.ErrCorrupt, size)
	}
	sealed, err := io.ReadAll(io.LimitReader(r, size))
	if err != nil {
		return nil, fmt.Errorf("read certs: %w", err)
	}
	plain, err := s.catalog.Box.Open(sealed, o.WrappedKey, o.ID)
	if errors.Is(err, seal.ErrTampered) {
		return nil, fmt.Errorf("%w: %w", objects.ErrCorrupt, err)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(plain)) != o.Size {
		return nil, fmt.Errorf("%w: %d bytes are stored instead of %d", objects.ErrCorrupt, len(plain), o.Size)
	}
	whole := io.NopCloser(bytes.NewReader(plain[part.start : part.start+part.length]))
	if part.length == o.Size {
		return objects.Verify(whole, o.SHA256, o.Size), nil
	}
	return whole, nil
}

// exactly turns an early end into an error.
type exactly struct {
	io.ReadCloser

	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if e.left -= int64(n); errors.Is(err, io.EOF) && e.left != 0 {
		err = fmt.Errorf("%w: it ends %d bytes early", objects.ErrCorrupt, e.left)
	}
	return n, err
}

const chunk = 256 << 10

//nolint:gochecknoglobals // a pool is of use only if shared
var chunks = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// errClient: the client went away. That is not our fault and not worth a line in the log.
var errClient = errors.New("the client went away")

// send copies r to w, one chunk behind what was read: the last chunk leaves only after r has ended without an error, so that a client
// never receives all of a damaged object. It calls begin before the first byte leaves; until then an error can be answered.
func send(w io.Writer, r io.Reader, begin func()) error {
	held, next := chunks.Get().(*[]byte), chunks.Get().(*[]byte) //nolint:forcetypeassert // see New
	defer func() { chunks.Put(held); chunks.Put(next) }()
	n, err := fill(r, *held)
	for err == nil {
		var m int
		m, err = fill(r, *next)
		if err != nil && !errors.Is(err, io.EOF) {
			break
		}
		begin()
		if _, err := w.Write((*held)[:n]); err != nil {
			return fmt.Errorf("%w: %w", errClient, err)
		}
		held, next, n = next, held, m
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	begin()
	if _, err := w.Write((*held)[:n]); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

// fill reads until p is full or r ends. It returns io.EOF with less than a full p.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// isBroken reports whether an error means lost or damaged bytes.
func isBroken(err error) bool { return errors.Is(problem.Translate(err), build.ErrObjectCorrupt) }
