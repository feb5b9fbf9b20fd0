package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// Limits of what a build may keep.
type Limits struct {
	// Bytes of the files, before they are packed.
	Bytes int64
	Files int
}

// DefaultLimits returns what a build may keep unless the worker is set otherwise.
func DefaultLimits() Limits { return Limits{Bytes: 2 << 30, Files: 10_000} }

// OrDefault returns the limits with defaults for those that are 0.
func (l Limits) OrDefault() Limits {
	d := DefaultLimits()
	if l.Bytes == 0 {
		l.Bytes = d.Bytes
	}
	if l.Files == 0 {
		l.Files = d.Files
	}
	return l
}

// ErrTooLarge means that the files exceed a limit. The text says by how much, and what to do.
var ErrTooLarge = errors.New("too many build artifacts")

// Found are the files that globs and paths name.
type Found struct {
	// Names are slash paths below the root, sorted.
	Names []string
	Bytes int64
	// Warnings for the build's log.
	Warnings []string
}

// Find returns the files below root that the globs match and those that paths name. Globs and paths are slash paths below root. One that
// matches nothing is a warning. It returns ErrTooLarge if the files exceed the limits.
func Find(ctx context.Context, root *os.Root, globs, paths []string, limits Limits) (Found, error) {
	f := finder{ctx: ctx, root: root, tree: root.FS(), limits: limits, seen: map[string]bool{}}
	for _, glob := range globs {
		if err := f.glob(glob); err != nil {
			return Found{}, err
		}
	}
	for _, name := range paths {
		if err := f.path(name, name); err != nil {
			return Found{}, err
		}
	}
	if f.files > limits.Files || f.found.Bytes > limits.Bytes {
		return Found{}, fmt.Errorf("%w: %d files with %s, and the limits of this worker are %d files and %s; name fewer files, or raise its limits",
			ErrTooLarge, f.files, text.Size(f.found.Bytes), limits.Files, text.Size(limits.Bytes))
	}
	slices.Sort(f.found.Names)
	f.found.Warnings = append(f.found.Warnings, f.leftOut.lines()...)
	return f.found, nil
}

// finder is one Find.
type finder struct {
	ctx    context.Context //nolint:containedctx // of the one call
	root   *os.Root
	tree   fs.FS
	limits Limits

	found   Found
	files   int
	seen    map[string]bool
	leftOut leftOut
	// matched counts the files and links of the glob or path at work, also those that are left out.
	matched int
}

// wildcards are the characters that make a glob of a path.
const wildcards = "*?[{"

func (f *finder) glob(glob string) error {
	front, n := ".", strings.IndexAny(glob, wildcards)
	if n < 0 {
		return f.path(glob, glob)
	}
	if slash := strings.LastIndex(glob[:n], "/"); slash >= 0 {
		front = glob[:slash]
	}
	return f.search(glob, front, func(name string) bool { return doublestar.MatchUnvalidated(glob, name) })
}

// path takes a file, or a directory with all that is below.
func (f *finder) path(name, asked string) error {
	return f.search(asked, path.Clean(name), func(string) bool { return true })
}

// search takes what is at front or below it and matches. A directory that matches is taken with all that is below.
func (f *finder) search(asked, front string, matches func(string) bool) error {
	f.matched = 0
	explicit := explicitIn(asked)
	info, ok := f.lstat(front)
	switch {
	case !ok:
	case info.IsDir():
		if err := f.walk(front, explicit, matches); err != nil {
			return err
		}
	case matches(front):
		f.take(front, info)
	}
	if f.matched == 0 {
		f.found.Warnings = append(f.found.Warnings, "no file matches "+asked)
	}
	return nil
}

// lstat returns what is at a path, unless a link is on the way.
func (f *finder) lstat(name string) (fs.FileInfo, bool) {
	segments := strings.Split(name, "/")
	for i := range segments[:len(segments)-1] {
		info, err := f.root.Lstat(filepath.Join(segments[:i+1]...))
		if err != nil || !info.IsDir() {
			return nil, false
		}
	}
	info, err := f.root.Lstat(filepath.FromSlash(name))
	return info, err == nil
}

func (f *finder) walk(front string, explicit map[string]bool, matches func(string) bool) error {
	inside := "" // the directory that matched, whose content is taken
	return fs.WalkDir(f.tree, front, func(name string, d fs.DirEntry, err error) error {
		switch {
		case f.ctx.Err() != nil:
			return context.Cause(f.ctx)
		case err != nil:
			f.leftOut.add(name, "it cannot be read")
			return fs.SkipDir
		}
		if name != "." && hidden(d.Name()) && !explicit[strings.ToLower(d.Name())] || d.IsDir() && isSecretDir(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if inside != "" && !strings.HasPrefix(name, inside+"/") && inside != "." {
			inside = ""
		}
		if inside == "" && !matches(name) {
			return nil
		}
		if d.IsDir() {
			if inside == "" {
				inside = name
			}
			return nil
		}
		if info, err := d.Info(); err == nil {
			f.take(name, info)
		}
		return nil
	})
}

// take adds a file or a link, or notes why it is left out.
func (f *finder) take(name string, info fs.FileInfo) {
	if !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return // no content to keep
	}
	f.matched++
	if f.seen[name] {
		return
	}
	f.seen[name] = true
	if why := f.fault(name, info); why != "" {
		f.leftOut.add(name, why)
		return
	}
	if f.files++; info.Mode().IsRegular() {
		f.found.Bytes += info.Size()
	}
	if f.files <= f.limits.Files {
		f.found.Names = append(f.found.Names, name)
	}
}

// fault returns why a file or link cannot be taken, or "".
func (f *finder) fault(name string, info fs.FileInfo) string {
	if isSecret(name) {
		return "a file of this name may hold credentials"
	}
	if why := archive.NameFault(name); why != "" {
		return why
	}
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := f.root.Readlink(filepath.FromSlash(name))
		if err != nil {
			return "it cannot be read"
		}
		return archive.LinkFault(name, filepath.ToSlash(target))
	}
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return "it cannot be read"
	}
	_ = file.Close() // nothing was written
	return ""
}

// leftOut are files that are not taken, and why.
type leftOut struct {
	names []string
	more  int
}

// maxLeftOut bounds the files that are named in the log.
const maxLeftOut = 20

func (l *leftOut) add(name, why string) {
	if len(l.names) >= maxLeftOut {
		l.more++
		return
	}
	l.names = append(l.names, fmt.Sprintf("not kept: %q: %s", name, why))
}

func (l *leftOut) lines() []string {
	if l.more > 0 {
		return append(l.names, fmt.Sprintf("not kept: %d more files", l.more))
	}
	return l.names
}
