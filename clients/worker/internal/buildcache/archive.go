package buildcache

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// buffer is what is read from or written to a snapshot at once, in bytes.
const buffer = 1 << 20

// pack writes paths below from as an archive. What vanishes meanwhile is left out.
func pack(ctx context.Context, w io.Writer, from *os.Root, paths []string, most int64) (s Snapshot, err error) {
	counted := &counter{w: w}
	z, err := zstd.NewWriter(counted, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return s, err
	}
	t := tar.NewWriter(z)
	tree := from.FS()
	for _, p := range paths {
		err = fs.WalkDir(tree, p, func(name string, d fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = add(t, from, name, d, &s)
			}
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err == nil && s.Bytes > most:
				return ErrTooLarge
			}
			return err
		})
		if err != nil {
			return s, errors.Join(err, z.Close())
		}
	}
	err = errors.Join(t.Close(), z.Close())
	s.Packed = counted.n
	return s, err
}

func add(t *tar.Writer, from *os.Root, name string, d fs.DirEntry, s *Snapshot) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = from.Readlink(name); err != nil {
			return err
		}
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil // a socket or the like
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Format = name, tar.FormatPAX // times to the nanosecond: Metro compares them
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if !info.Mode().IsRegular() {
		return t.WriteHeader(h)
	}
	f, err := from.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	s.Files++
	s.Bytes += h.Size
	_, err = io.CopyN(t, f, h.Size) // a file that shrinks meanwhile is an error
	return err
}

// unpack restores an archive below into. Links are made as they were; nothing is written through them to the outside.
func unpack(ctx context.Context, r io.Reader, into *os.Root) (s Snapshot, err error) {
	counted := &counter{r: bufio.NewReaderSize(r, buffer)}
	z, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return s, err
	}
	defer z.Close()
	dirs := []*tar.Header{}
	for t := tar.NewReader(z); ctx.Err() == nil; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			s.Packed = counted.n
			return s, settle(into, dirs)
		}
		if err != nil {
			return s, err
		}
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, h)
		}
		if err := place(into, h, t, &s); err != nil {
			return s, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return s, ctx.Err()
}

func place(into *os.Root, h *tar.Header, content io.Reader, s *Snapshot) error {
	mode := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		return into.MkdirAll(h.Name, mode|0o700)
	case tar.TypeSymlink:
		if err := into.Remove(h.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return withParent(into, h.Name, func() error { return into.Symlink(h.Linkname, h.Name) })
	default:
		s.Files++
		s.Bytes += h.Size
		return withParent(into, h.Name, func() error { return write(into, h, mode, content) })
	}
}

func write(into *os.Root, h *tar.Header, mode fs.FileMode, content io.Reader) error {
	f, err := into.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil && mode&0o200 == 0 {
		err = f.Chmod(mode)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = into.Chtimes(h.Name, h.ModTime, h.ModTime)
	}
	return err
}

// withParent repeats do after it has made the parent directory, which a snapshot of single files does not have.
func withParent(into *os.Root, name string, do func() error) error {
	err := do()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := into.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return do()
}

// settle gives directories their modes and times, the deepest first: files were put into them.
func settle(into *os.Root, dirs []*tar.Header) error {
	for _, h := range slices.Backward(dirs) {
		if mode := h.FileInfo().Mode().Perm(); mode&0o700 != 0o700 {
			if err := into.Chmod(h.Name, mode); err != nil {
				return err
			}
		}
		if err := into.Chtimes(h.Name, h.ModTime, h.ModTime); err != nil {
			return err
		}
	}
	return nil
}

// counter counts bytes.
type counter struct {
	w io.Writer
	r io.Reader
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
