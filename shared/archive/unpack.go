package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	copyBuffer = 64 << 10 // bytes
	filePerm   = 0o644
	execPerm   = 0o755
	dirPerm    = 0o755

	// escapes is the text of os.Root's refusal, which os does not export.
	escapes = "path escapes from parent"
)

// Unpack writes an archive of size bytes into dir, which must be empty or not
// exist. Files get 0644, or 0755 when the archive marks them executable, and
// their times. After an error dir is as before. ErrNotEmpty and those of Inspect.
// ErrUnsafe also means that two names are one on dir's file system, as "a" and
// "A" are on most Macs.
func Unpack(ctx context.Context, r io.ReaderAt, size int64, dir string, limits Limits) (Summary, error) {
	format, err := detectAt(r, size)
	if err != nil {
		return Summary{}, err
	}
	return unpackInto(dir, func(u *unpacker) (Summary, error) {
		if format == Zip {
			return walkZip(ctx, r, size, limits, u.visit)
		}
		return walkTarGz(ctx, io.NewSectionReader(r, 0, size), size, limits, u.visit)
	})
}

// UnpackTarGz is Unpack for a tar.gz that can only be read once.
func UnpackTarGz(ctx context.Context, r io.Reader, dir string, limits Limits) (Summary, error) {
	return unpackInto(dir, func(u *unpacker) (Summary, error) {
		return walkTarGz(ctx, r, -1, limits, u.visit)
	})
}

// unpacker writes entries below root.
type unpacker struct {
	root  *os.Root
	buf   []byte
	links []entry // symbolic ones, to be checked when all is there
	now   time.Time
}

func unpackInto(dir string, walk func(*unpacker) (Summary, error)) (sum Summary, err error) {
	made, err := makeEmpty(dir)
	if err != nil {
		return Summary{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("unpack into: %w", err)
	}
	defer root.Close()
	u := &unpacker{root: root, buf: make([]byte, copyBuffer), now: time.Now()}
	if sum, err = walk(u); err == nil {
		err = u.checkLinks()
	}
	if err != nil {
		return Summary{}, errors.Join(err, u.undo(dir, made))
	}
	return sum, nil
}

// makeEmpty makes dir unless it is there, and reports which.
func makeEmpty(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(dir, dirPerm); err != nil {
			return false, fmt.Errorf("unpack into: %w", err)
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("unpack into: %w", err)
	case len(entries) > 0:
		return false, fmt.Errorf("unpack into %s: %w", dir, ErrNotEmpty)
	}
	return false, nil
}

// undo removes everything below dir, which was empty before, and dir itself
// when it is ours. It follows no link.
func (u *unpacker) undo(dir string, made bool) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, u.root.RemoveAll(e.Name()))
	}
	if made {
		errs = append(errs, os.Remove(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what was unpacked: %w", err)
	}
	return nil
}

func (u *unpacker) visit(g *guard, e entry, content io.Reader) error {
	if err := u.write(g, e, content); err != nil {
		return u.explain(e, err)
	}
	return nil
}

func (u *unpacker) write(g *guard, e entry, content io.Reader) error {
	if e.kind == directory {
		return u.root.MkdirAll(filepath.FromSlash(e.name), dirPerm)
	}
	name := filepath.FromSlash(e.name)
	if err := u.root.MkdirAll(filepath.Dir(name), dirPerm); err != nil {
		return err
	}
	switch e.kind {
	case symlink:
		u.links = append(u.links, e)
		return u.root.Symlink(filepath.FromSlash(e.target), name)
	case hardlink:
		return u.link(e, name)
	}
	return u.file(g, e, name, content)
}

// link makes a hard link to a file that the archive brought before.
func (u *unpacker) link(e entry, name string) error {
	target := filepath.FromSlash(path.Clean(e.target))
	info, err := u.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return unsafe(e.raw, "the hard link names no file of the archive")
	}
	return u.root.Link(target, name)
}

func (u *unpacker) file(g *guard, e entry, name string, content io.Reader) error {
	perm := fs.FileMode(filePerm)
	if e.exec {
		perm = execPerm
	}
	// O_EXCL: nothing that is there is ever written through or over.
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err := u.copy(g, e, f, content); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if t, ok := u.plausible(e.modTime); ok {
		return u.root.Chtimes(name, t, t)
	}
	return nil
}

// copy counts the bytes that really come, before they are written.
func (u *unpacker) copy(g *guard, e entry, w io.Writer, content io.Reader) error {
	var written int64
	for {
		n, readErr := content.Read(u.buf)
		if written += int64(n); exceeds(written, g.limits.EntryBytes) {
			return fmt.Errorf("%w: entry %s has more than %d bytes", ErrTooLarge, quote(e.raw), g.limits.EntryBytes)
		}
		if err := g.grow(int64(n)); err != nil {
			return err
		}
		if _, err := w.Write(u.buf[:n]); err != nil {
			return err
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return fmt.Errorf("read entry %s: %w", quote(e.raw), readErr)
		}
	}
}

// plausible refuses times that break build tools: before zip's epoch, or in
// the future.
func (u *unpacker) plausible(t time.Time) (time.Time, bool) {
	return t, t.Year() >= 1980 && !t.After(u.now)
}

// checkLinks resolves every symbolic link the way the system will. Text alone
// does not tell: "p/link/../.." may be inside by its letters and outside by
// where link points. A link to nothing is allowed.
func (u *unpacker) checkLinks() error {
	for _, e := range u.links {
		_, err := u.root.Stat(filepath.FromSlash(e.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unsafe(e.raw, "the link leaves the archive or never ends")
		}
	}
	return nil
}

// explain turns a refusal of the file system into one of the archive, where
// it is the archive's fault.
func (u *unpacker) explain(e entry, err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return unsafe(e.raw, "the name occurs twice here, perhaps in another case")
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP), strings.HasSuffix(err.Error(), escapes):
		return unsafe(e.raw, "the path leads through a file or a link")
	}
	return err
}
