package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// lister collects the files of a root.
type lister struct {
	ctx  context.Context //nolint:containedctx // one call's
	root string

	files    []File
	dirs     []string
	warnings []string
	differs  []string
	// absent counts the files of a sparse checkout that are not on the disk.
	absent int
}

func (l *lister) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// Modes of entries in git's index.
const modeSubmodule = "160000"

// repository lists a repository, or the part of one that begins at rel, a slash path below the root.
func (l *lister) repository(rel string) error {
	dir := filepath.Join(l.root, filepath.FromSlash(rel))
	if err := l.tracked(dir, rel); err != nil {
		return err
	}
	out, err := git(l.ctx, dir, "ls-files", "-z", "--others", "--exclude-standard")
	if err != nil {
		return fmt.Errorf("%w of %s: %w", ErrGit, dir, err)
	}
	for name := range fields(out) {
		// Git does not look into repositories that are new to it.
		if below, ok := strings.CutSuffix(name, "/"); ok {
			if err := l.below(path.Join(rel, below)); err != nil {
				return err
			}
			continue
		}
		l.files = append(l.files, File{Path: path.Join(rel, name), origin: untracked})
	}
	return nil
}

// tracked lists what is in the index.
func (l *lister) tracked(dir, rel string) error {
	// -v tells apart what "git status" does not look at.
	out, err := git(l.ctx, dir, "ls-files", "-z", "-v", "--stage")
	if err != nil {
		return fmt.Errorf("%w of %s: %w", ErrGit, dir, err)
	}
	last := ""
	for entry := range fields(out) {
		info, name, ok := strings.Cut(entry, "\t")
		tag, stage, found := strings.Cut(info, " ")
		mode, _, _ := strings.Cut(stage, " ")
		if !ok || !found {
			return fmt.Errorf("%w of %s: unexpected output %.100q", ErrGit, dir, entry)
		}
		if name == last { // an unmerged file has an entry per stage
			continue
		}
		last = name
		at := path.Join(rel, name)
		if mode == modeSubmodule {
			if err := l.submodule(at); err != nil {
				return err
			}
			continue
		}
		l.files = append(l.files, File{Path: at, origin: tracked})
		if tag == "S" || tag == strings.ToLower(tag) {
			l.unwatched(dir, rel, name, stage)
		}
	}
	return nil
}

// unwatched looks at a file whose changes git was told not to see (skip-worktree, assume-unchanged).
func (l *lister) unwatched(dir, rel, name, stage string) {
	if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		l.absent++
		return
	}
	fields := strings.Fields(stage)
	out, err := git(l.ctx, dir, "hash-object", "--", name)
	if err != nil || len(fields) < 2 || strings.TrimSpace(string(out)) != fields[1] {
		l.differs = append(l.differs, path.Join(rel, name)+" is marked as unchanged in git's index, and differs")
	}
}

// submodule lists a submodule that is checked out.
func (l *lister) submodule(rel string) error {
	if skipped(rel) {
		return nil
	}
	_, err := os.Lstat(filepath.Join(l.root, filepath.FromSlash(rel), ".git"))
	if errors.Is(err, fs.ErrNotExist) {
		l.warn("the submodule %s is not checked out and is sent empty. If the build needs it: git submodule update --init --recursive", rel)
		l.differs = append(l.differs, "the submodule "+rel+" is not checked out")
		return nil
	}
	if err != nil {
		return fmt.Errorf("submodule %s: %w", rel, err)
	}
	return l.repository(rel)
}

// below lists a repository that is not a submodule. Another worktree of the same one is left out:
// it is the same project once more.
func (l *lister) below(rel string) error {
	if skipped(rel) {
		return nil
	}
	outer, err := commonDir(l.ctx, l.root)
	if err != nil {
		return err
	}
	inner, err := commonDir(l.ctx, filepath.Join(l.root, filepath.FromSlash(rel)))
	if err != nil {
		return err
	}
	if inner == outer {
		l.warn("%s is another worktree of this repository and is not sent", rel)
		return nil
	}
	return l.repository(rel)
}

// commonDir returns the directory that all worktrees of a repository share.
func commonDir(ctx context.Context, dir string) (string, error) {
	out, err := git(ctx, dir, "rev-parse", "--git-common-dir")
	if err != nil {
		return "", fmt.Errorf("%w of %s: %w", ErrGit, dir, err)
	}
	common := filepath.FromSlash(strings.TrimSuffix(string(out), "\n"))
	if !filepath.IsAbs(common) {
		common = filepath.Join(dir, common)
	}
	return filepath.EvalSymlinks(common)
}

// skipped reports whether the path is never sent.
func skipped(rel string) bool {
	for element := range strings.SplitSeq(rel, "/") {
		if element == "node_modules" || strings.EqualFold(element, ".git") {
			return true
		}
	}
	return false
}

// fields yields the parts that NUL bytes end.
func fields(out []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for part := range bytes.SplitSeq(out, []byte{0}) {
			if len(part) > 0 && !yield(string(part)) {
				return
			}
		}
	}
}
