package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
)

// visitor gets each admitted entry and, for a file, its content. It counts the
// content with the guard's grow.
type visitor func(g *guard, e entry, content io.Reader) error

// declared is the visitor that believes the headers.
func declared(g *guard, e entry, _ io.Reader) error {
	if e.kind == file {
		return g.grow(e.size)
	}
	return nil
}

// tarWalk reads a tar.gz from front to back.
type tarWalk struct {
	plain *plainReader
	guard *guard
}

// walkTarGz visits every entry. size is the archive's, or -1 when it is not
// known: then the ratio is taken over what was read so far.
func walkTarGz(ctx context.Context, r io.Reader, size int64, limits Limits, visit visitor) (Summary, error) {
	packed := &contextReader{ctx: ctx, r: r}
	g := newGuard(TarGz, limits, func() int64 { return max(size, packed.n) })
	// A bufio.Reader keeps gzip from adding one of its own.
	unzip, err := gzip.NewReader(bufio.NewReaderSize(packed, copyBuffer))
	if err != nil {
		return Summary{}, readError(ctx, err)
	}
	defer unzip.Close()
	w := &tarWalk{plain: &plainReader{r: unzip, guard: g}, guard: g}
	if err := w.run(visit); err != nil {
		return Summary{}, readError(ctx, err)
	}
	return g.summary, nil
}

func (w *tarWalk) run(visit visitor) error {
	tr := tar.NewReader(w.plain)
	for {
		header, err := tr.Next()
		if err == io.EOF {
			return w.drain()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // our own checks follow
			return w.notTar(err)
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue // a comment, git archive writes one
		}
		e := tarEntry(header)
		if err := w.guard.admit(&e); err != nil {
			return err
		}
		if err := visit(w.guard, e, tr); err != nil {
			return err
		}
	}
}

// drain reads on to gzip's checksum: without it a cut archive could pass.
func (w *tarWalk) drain() error {
	_, err := io.Copy(io.Discard, w.plain)
	return err
}

// notTar tells a gzip of something else from a damaged tar: only the very
// first header decides.
func (w *tarWalk) notTar(err error) error {
	if errors.Is(err, tar.ErrHeader) && w.guard.summary.Entries == 0 {
		return fmt.Errorf("%w: the gzip holds no tar", ErrNotArchive)
	}
	return err
}

func tarEntry(h *tar.Header) entry {
	e := entry{raw: h.Name, size: h.Size, target: h.Linkname, modTime: h.ModTime, exec: h.Mode&0o111 != 0, kind: special}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.kind = file
	case tar.TypeDir:
		e.kind = directory
	case tar.TypeSymlink:
		e.kind = symlink
		if e.target == "" {
			e.target = "\x00" // "" would mean "not known yet"
		}
	case tar.TypeLink:
		e.kind = hardlink
	}
	return e
}

// readError returns what the libraries say a sentinel.
func readError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read archive: %w", context.Cause(ctx))
	}
	switch {
	case errors.Is(err, ErrNotArchive):
		return err
	case damaged(err):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// plainReader bounds the decompressed stream itself, headers and padding
// included: a stream of nothing but headers is a bomb too.
type plainReader struct {
	r     io.Reader
	n     int64
	guard *guard
}

func (p *plainReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	l := p.guard.limits
	if l.TotalBytes >= 0 && l.Entries >= 0 && p.n-l.TotalBytes > (int64(l.Entries)+1)*headerBytes {
		return 0, p.guard.tooMuch()
	}
	if ratioErr := p.guard.checkRatio(p.n); ratioErr != nil {
		return 0, ratioErr
	}
	return n, err
}
