package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Selection says whose rules chose the files.
type Selection string

// The selections.
const (
	ByGit       Selection = "git"
	ByEASIgnore Selection = ".easignore"
	// ByGitIgnore is of directories in no repository.
	ByGitIgnore Selection = ".gitignore"
)

// EASIgnore is the file whose rules take the place of git's.
const EASIgnore = ".easignore"

// Options of Open.
type Options struct {
	// Root is the directory to send, relative to the app. Empty: see the package.
	Root string
}

// Source is what is sent.
type Source struct {
	// Root and App are absolute paths without links. AppPath leads from one to the other, with
	// slashes; empty if they are the same.
	Root, App, AppPath string
	Selection          Selection
	// Files are sorted by path.
	Files []File
	// Dirs are empty directories; only EAS's rules leave any.
	Dirs []string
	// Tracked and New count the files that git tracks and those that it does not.
	Tracked, New int
	// Differs tells in what the files differ from the commit that is checked out, beyond what
	// "git status" reports. Empty if they do not.
	Differs  []string
	Warnings []string
}

// File is a file or a symbolic link.
type File struct {
	// Path is relative to the root, with slashes.
	Path string `json:"path"`
	// Size in bytes; 0 for a link.
	Size int64 `json:"size"`
	// Link is the target of a symbolic link.
	Link string `json:"link,omitempty"`

	origin origin
}

// origin tells how a file was found.
type origin int

const (
	found origin = iota
	tracked
	untracked
	// letIn files are ignored by git, and .easignore lets them in.
	letIn
)

// ErrNothing says that no file of the app would be sent.
var ErrNothing = errors.New("nothing of the app would be sent")

// Open lists what is sent of the app in a directory.
func Open(ctx context.Context, dir string, opts Options) (*Source, error) {
	app, err := realDir(dir)
	if err != nil {
		return nil, fmt.Errorf("app directory: %w", err)
	}
	s := &Source{App: app}
	if err := s.findRoot(ctx, opts.Root); err != nil {
		return nil, err
	}
	l := &lister{ctx: ctx, root: s.Root}
	if err := s.list(l); err != nil {
		return nil, err
	}
	if err := s.settle(l); err != nil {
		return nil, err
	}
	if err := s.checkApp(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// realDir returns the absolute path of a directory without links.
func realDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	return abs, err
}

func (s *Source) list(l *lister) error {
	top, err := topOf(l.ctx, s.Root)
	if err != nil {
		return err
	}
	rules, err := readEASIgnore(s.Root)
	if err != nil {
		return err
	}
	if top == "" {
		s.Selection = ByGitIgnore
		if rules == nil {
			return l.walk("")
		}
	} else {
		s.Selection = ByGit
		if err := l.repository(""); err != nil || rules == nil {
			return err
		}
	}
	s.Selection = ByEASIgnore
	byGit := l.files
	l.files, l.warnings = nil, nil
	if err := l.walkEAS("", rules); err != nil {
		return err
	}
	if top != "" {
		l.compare(byGit)
	}
	return nil
}

// checkApp fails if the archive would lack the app.
func (s *Source) checkApp(ctx context.Context) error {
	if s.AppPath == "" && len(s.Files) > 0 {
		return nil
	}
	at, _ := slices.BinarySearchFunc(s.Files, s.AppPath+"/", func(f File, prefix string) int { return strings.Compare(f.Path, prefix) })
	if at < len(s.Files) && strings.HasPrefix(s.Files[at].Path, s.AppPath+"/") {
		return nil
	}
	switch s.Selection {
	case ByGit:
		rule := ignoringRule(ctx, s.App)
		if rule == "" {
			return fmt.Errorf("%w: %s has no files that git lists", ErrNothing, s.App)
		}
		return fmt.Errorf("%w: git ignores %s (%s). Change that rule, or make the directory a repository of its own: git init %s", ErrNothing, s.App, rule, s.App)
	case ByEASIgnore:
		return fmt.Errorf("%w: %s excludes %s. Change its rules", ErrNothing, path.Join(filepath.ToSlash(s.Root), EASIgnore), s.App)
	default:
		return fmt.Errorf("%w: the .gitignore files below %s exclude all of %s", ErrNothing, s.Root, s.App)
	}
}
