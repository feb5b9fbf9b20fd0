package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// settler looks at every listed file on the disk.
type settler struct {
	*lister

	source *Source
	disk   *os.Root
	// real remembers which directories are ones, and not links to some.
	real map[string]bool
	// installed counts files below node_modules that git tracks.
	installed int
}

// settle keeps the listed files that can be sent, with their sizes and warnings.
func (s *Source) settle(l *lister) error {
	disk, err := os.OpenRoot(s.Root)
	if err != nil {
		return fmt.Errorf("open the root: %w", err)
	}
	defer disk.Close()
	slices.SortFunc(l.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	l.files = slices.CompactFunc(l.files, func(a, b File) bool { return a.Path == b.Path })
	t := &settler{lister: l, source: s, disk: disk, real: map[string]bool{".": true}}
	for _, f := range l.files {
		if err := t.add(f); err != nil {
			return err
		}
	}
	s.Dirs = l.dirs
	slices.Sort(s.Dirs)
	t.warnOfSelection()
	if l.absent > 0 {
		l.differs = append(l.differs, fmt.Sprintf("%d files are not in the sparse checkout", l.absent))
		l.warn("%d tracked files are outside of the sparse checkout, or marked with skip-worktree, and are not sent. If the build needs them: git sparse-checkout disable, or git update-index --no-skip-worktree FILE", l.absent)
	}
	s.warnOfNames(l)
	s.warnOfContent(l, disk)
	s.Warnings, s.Differs = append(s.Warnings, l.warnings...), l.differs
	return nil
}

func (t *settler) add(f File) error {
	if skipped(f.Path) {
		if f.origin == tracked {
			t.installed++
		}
		return nil
	}
	if !t.isReal(path.Dir(f.Path)) {
		return nil // git lists the link in its place
	}
	info, err := t.disk.Lstat(filepath.FromSlash(f.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist): // deleted, and git status tells
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", f.Path, err)
	case info.Mode().Type() == fs.ModeSymlink:
		return t.addLink(f)
	case !info.Mode().IsRegular():
		return nil
	}
	if why := archive.NameFault(f.Path); why != "" {
		t.warn("%s is not sent: %s. Rename it if the build needs it", quote(f.Path), why)
		return nil
	}
	f.Size = info.Size()
	t.keep(f)
	return nil
}

func (t *settler) addLink(f File) error {
	target, err := t.disk.Readlink(filepath.FromSlash(f.Path))
	if err != nil {
		return fmt.Errorf("look at %s: %w", f.Path, err)
	}
	f.Link = filepath.ToSlash(target)
	if why := t.badLink(f); why != "" {
		t.warn("the link %s is not sent: %s", quote(f.Path), why)
		return nil
	}
	t.keep(f)
	return nil
}

// badLink says why the archive cannot have the link, and what to do.
func (t *settler) badLink(f File) string {
	if path.IsAbs(f.Link) || filepath.IsAbs(f.Link) {
		return fmt.Sprintf("it points to %s, a path of this machine. If the build needs it, link by a relative path inside the root, or copy it", quote(f.Link))
	}
	if !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(f.Path), f.Link))) {
		return fmt.Sprintf("it points to %s, outside of the root %s. If the build needs it, name a root that has both (--root, or \"root\" in freeagent.json), or copy it",
			quote(f.Link), t.source.Root)
	}
	if why := cmp.Or(archive.NameFault(f.Path), archive.LinkFault(f.Path, f.Link)); why != "" {
		return why + ". Rename it if the build needs it"
	}
	// The worker follows each link the same way and refuses what this refuses.
	if _, err := t.disk.Stat(filepath.FromSlash(f.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("it points to %s, which leads in a circle, through a file, or out of the root. Delete it, or link to an existing path", quote(f.Link))
	}
	return ""
}

func (t *settler) keep(f File) {
	switch f.origin {
	case tracked:
		t.source.Tracked++
	case untracked:
		t.source.New++
	}
	t.source.Files = append(t.source.Files, f)
}

// isReal reports whether dir, a slash path, and all above it are directories and not links.
func (t *settler) isReal(dir string) bool {
	is, ok := t.real[dir]
	if !ok {
		info, err := t.disk.Lstat(filepath.FromSlash(dir))
		is = err == nil && info.IsDir() && t.isReal(path.Dir(dir))
		t.real[dir] = is
	}
	return is
}
