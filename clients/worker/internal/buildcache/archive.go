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
	"strings"
	"time"

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
	s.Paths = paths
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
	p := &placer{open: []opened{{".", into}}}
	defer p.close()
	for t := tar.NewReader(z); ctx.Err() == nil; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			s.Packed = counted.n
			return s, p.settle()
		}
		if err == nil {
			err = p.place(h, t, &s)
		}
		if err != nil {
			return s, err
		}
	}
	return s, ctx.Err()
}

// placer puts entries into a tree. It keeps the directories of the last entry open: with a path from the root, each file would cost an open for
// each directory on the way.
type placer struct {
	open []opened // from the root down
	dirs []*tar.Header
}

type opened struct {
	path string
	dir  *os.Root
}

func (p *placer) close() {
	for _, o := range p.open[1:] { // the first is the caller's
		o.dir.Close()
	}
	p.open = p.open[:1]
}

// parent returns the directory of an entry, opened, and makes it if need be: a snapshot of single files does not have it.
func (p *placer) parent(name string) (*os.Root, error) {
	want := path.Dir(name)
	for {
		last := p.open[len(p.open)-1]
		switch {
		case last.path == want:
			return last.dir, nil
		case last.path == ".", strings.HasPrefix(want, last.path+"/"):
			rest := strings.TrimPrefix(want, last.path+"/")
			next, _, _ := strings.Cut(rest, "/")
			if err := last.dir.Mkdir(next, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			dir, err := last.dir.OpenRoot(next)
			if err != nil {
				return nil, err
			}
			p.open = append(p.open, opened{path.Join(last.path, next), dir})
		default:
			last.dir.Close()
			p.open = p.open[:len(p.open)-1]
		}
	}
}

// place makes one entry. Links are made as they were; nothing is written through them to the outside.
func (p *placer) place(h *tar.Header, content io.Reader, s *Snapshot) error {
	name := path.Clean(h.Name)
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("entry %.100q is no path below the directory", h.Name)
	}
	dir, err := p.parent(name)
	if err != nil {
		return err
	}
	if last := len(s.Paths) - 1; last < 0 || !strings.HasPrefix(name, s.Paths[last]+"/") {
		s.Paths = append(s.Paths, name)
	}
	base, mode := path.Base(name), h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		p.dirs = append(p.dirs, h)
		if err := dir.Mkdir(base, mode|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeSymlink:
		if err := dir.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return dir.Symlink(h.Linkname, base)
	default:
		s.Files++
		s.Bytes += h.Size
		return write(dir, base, mode, h.ModTime, content)
	}
}

func write(dir *os.Root, base string, mode fs.FileMode, at time.Time, content io.Reader) error {
	f, err := dir.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode) // the file may have been there, and npm makes programs of a workspace executable
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = dir.Chtimes(base, at, at)
	}
	return err
}

// settle gives directories their modes and times, the deepest first: files were put into them.
func (p *placer) settle() error {
	for _, h := range slices.Backward(p.dirs) {
		dir, err := p.parent(path.Clean(h.Name))
		if err != nil {
			return err
		}
		base := path.Base(path.Clean(h.Name))
		if mode := h.FileInfo().Mode().Perm(); mode&0o700 != 0o700 {
			if err := dir.Chmod(base, mode); err != nil {
				return err
			}
		}
		if err := dir.Chtimes(base, h.ModTime, h.ModTime); err != nil {
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
