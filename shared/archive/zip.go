package archive

import (
	"archive/zip"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

const localLen = 30

// readTarget reads what a symbolic link's entry holds: its target.
func (z zipRecord) readTarget(r io.ReaderAt) (string, error) {
	var head [localLen]byte
	if _, err := r.ReadAt(head[:], z.data); err != nil {
		return "", fmt.Errorf("read link %s: %w", quote(z.raw), err)
	}
	le := binary.LittleEndian
	start := z.data + localLen + int64(le.Uint16(head[26:])) + int64(le.Uint16(head[28:]))
	if start < 0 || z.packed < 0 {
		return "", fmt.Errorf("%w: entry %s is out of bounds", ErrCorrupt, quote(z.raw))
	}
	var content io.Reader = io.NewSectionReader(r, start, z.packed)
	if z.method == methodDeflate {
		content = flate.NewReader(content)
	}
	return linkTarget(content)
}

// linkTarget reads a target; one that is too long comes out too long, for
// checkTarget to refuse.
func linkTarget(content io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(content, maxTarget+1))
	if err != nil {
		return "", fmt.Errorf("read link: %w", err)
	}
	return string(b), nil
}

// walkZip visits every entry with its content. The directory has been checked
// by inspectZip, so that loading it is bounded.
func walkZip(ctx context.Context, r io.ReaderAt, size int64, limits Limits, visit visitor) (Summary, error) {
	if _, err := inspectZip(ctx, r, size, limits); err != nil {
		return Summary{}, err
	}
	section := io.NewSectionReader(r, 0, size)
	archive, err := zip.NewReader(section, size)
	if archive == nil {
		return Summary{}, readError(ctx, err)
	}
	g := newGuard(Zip, limits, func() int64 { return size })
	for _, f := range archive.File {
		if err := visitZip(ctx, g, f, visit); err != nil {
			return Summary{}, readError(ctx, err)
		}
	}
	return g.summary, nil
}

func visitZip(ctx context.Context, g *guard, f *zip.File, visit visitor) error {
	e, err := zipEntry(f)
	if err != nil {
		return err
	}
	if err := g.admit(&e); err != nil {
		return err
	}
	if e.kind == directory {
		return visit(g, e, nil)
	}
	content, err := f.Open()
	if err != nil {
		return fmt.Errorf("open entry %s: %w", quote(e.raw), err)
	}
	defer content.Close()
	if e.kind == symlink {
		if e.target, err = linkTarget(content); err == nil {
			err = checkTarget(e)
		}
		if err != nil {
			return err
		}
	}
	return visit(g, e, &contextReader{ctx: ctx, r: content})
}

func zipEntry(f *zip.File) (entry, error) {
	e := entry{raw: f.Name, size: int64(f.UncompressedSize64), modTime: f.Modified}
	e.kind, e.exec = zipKind(byte(f.CreatorVersion>>8), f.ExternalAttrs, f.Name)
	return e, supported(f.Name, f.Method, f.Flags)
}
