package archive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// PackOptions shape what PackTarGz writes. The zero value packs everything.
type PackOptions struct {
	// Filter says whether to pack rel, a slash path relative to the directory;
	// a directory it refuses is not entered. nil packs all.
	Filter func(rel string, d fs.DirEntry) bool
	// Progress hears the bytes and entries packed so far, after each entry.
	Progress func(bytes int64, entries int)
	// ModTime replaces every file's time; zero keeps them, in whole seconds.
	ModTime time.Time
	// Digest gets names, modes, links and contents of all that is packed, and no times; nil for none. DigestFiles writes the same.
	Digest hash.Hash
	// Level is gzip's, 1 to 9; 0 is gzip's default.
	Level int
}

// PackTarGz writes the content of dir to w. The same files give the same
// bytes: names are sorted, owners zero, modes 0644 or 0755. Sockets and pipes
// are left out. A link that points outside dir is ErrUnsafe, as is a name that
// Unpack would refuse; a file that changes meanwhile is an error.
func PackTarGz(ctx context.Context, w io.Writer, dir string, opts PackOptions) (Summary, error) {
	return pack(w, dir, opts, func(p *packer) error {
		return fs.WalkDir(p.root.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			return p.visit(ctx, rel, d)
		})
	})
}

// PackFiles is PackTarGz for the files, links and empty directories of dir that are named, slash
// paths, in their order. It has no entries for the directories that files are in.
func PackFiles(ctx context.Context, w io.Writer, dir string, names []string, opts PackOptions) (Summary, error) {
	return pack(w, dir, opts, func(p *packer) error { return p.files(ctx, names) })
}

func pack(w io.Writer, dir string, opts PackOptions, visit func(*packer) error) (Summary, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("pack: %w", err)
	}
	defer root.Close()
	if opts.Level == 0 {
		opts.Level = gzip.DefaultCompression
	}
	zipper, err := gzip.NewWriterLevel(w, opts.Level)
	if err != nil {
		return Summary{}, fmt.Errorf("pack: %w", err)
	}
	p := newPacker(root, zipper, opts)
	if err = visit(p); err == nil {
		err = errors.Join(p.tar.Close(), zipper.Close())
	}
	if err != nil {
		return Summary{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	return p.summary, nil
}

// DigestFiles writes what PackFiles packs to a hash, as PackOptions.Digest gets it.
func DigestFiles(ctx context.Context, h hash.Hash, dir string, names []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	defer root.Close()
	p := newPacker(root, io.Discard, PackOptions{Digest: h})
	if err := p.files(ctx, names); err != nil {
		return fmt.Errorf("digest %s: %w", dir, err)
	}
	return nil
}

func newPacker(root *os.Root, w io.Writer, opts PackOptions) *packer {
	return &packer{root: root, tar: tar.NewWriter(w), opts: opts, buf: make([]byte, copyBuffer), summary: Summary{Format: TarGz}}
}

// files packs what is named.
func (p *packer) files(ctx context.Context, names []string) error {
	for _, rel := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := p.root.Lstat(filepath.FromSlash(rel))
		if err == nil {
			err = p.visit(ctx, rel, fs.FileInfoToDirEntry(info))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin writes the header of an entry. Each text of the digest is preceded by its length, so that no two trees have the same bytes.
func (p *packer) begin(h *tar.Header) error {
	if d := p.opts.Digest; d != nil {
		_, _ = fmt.Fprintf(d, "%c%o %d:%s %d:%s %d:", h.Typeflag, h.Mode, len(h.Name), h.Name, len(h.Linkname), h.Linkname, h.Size) // never fails
	}
	return p.tar.WriteHeader(h)
}

type packer struct {
	root    *os.Root
	tar     *tar.Writer
	opts    PackOptions
	buf     []byte
	summary Summary
}

func (p *packer) visit(ctx context.Context, rel string, d fs.DirEntry) error {
	if rel == "." {
		return nil
	}
	if p.opts.Filter != nil && !p.opts.Filter(rel, d) {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if kindOf(d.Type()) == special {
		return nil
	}
	if why := NameFault(rel); why != "" {
		return unsafe(rel, why)
	}
	if err := p.add(ctx, rel, d); err != nil {
		return err
	}
	p.summary.Entries++
	if p.opts.Progress != nil {
		p.opts.Progress(p.summary.Bytes, p.summary.Entries)
	}
	return nil
}

func (p *packer) add(ctx context.Context, rel string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := p.header(rel, info)
	switch kindOf(info.Mode()) {
	case directory:
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, h.Name+"/", dirPerm
		p.summary.Dirs++
		return p.begin(h)
	case symlink:
		return p.addLink(rel, h)
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	return p.addFile(ctx, rel, h)
}

func (p *packer) header(rel string, info fs.FileInfo) *tar.Header {
	h := &tar.Header{Name: packedName(rel), Mode: filePerm, ModTime: info.ModTime().Truncate(time.Second), Format: tar.FormatPAX}
	if info.Mode()&0o111 != 0 {
		h.Mode = execPerm
	}
	if !p.opts.ModTime.IsZero() {
		h.ModTime = p.opts.ModTime.Truncate(time.Second)
	}
	return h
}

func (p *packer) addLink(rel string, h *tar.Header) error {
	target, err := p.root.Readlink(filepath.FromSlash(rel))
	if err != nil {
		return err
	}
	h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, filepath.ToSlash(target), execPerm
	if err := checkTarget(entry{raw: rel, name: rel, target: h.Linkname}); err != nil {
		return err
	}
	p.summary.Links++
	return p.begin(h)
}

func (p *packer) addFile(ctx context.Context, rel string, h *tar.Header) error {
	f, err := p.root.Open(filepath.FromSlash(rel))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.begin(h); err != nil {
		return err
	}
	content := struct{ io.Writer }{p.tar}
	if p.opts.Digest != nil {
		content.Writer = io.MultiWriter(p.tar, p.opts.Digest)
	}
	// One byte more than announced, so that a file that grows is noticed.
	src := &contextReader{ctx: ctx, r: io.LimitReader(f, h.Size+1)}
	n, err := io.CopyBuffer(content, src, p.buf)
	if errors.Is(err, tar.ErrWriteTooLong) || (err == nil && n != h.Size) {
		return fmt.Errorf("file %s changed while it was packed", quote(rel))
	}
	p.summary.Files++
	p.summary.Bytes += n
	return err
}
