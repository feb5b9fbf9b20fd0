package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/ignore"
)

// walk lists a directory in no repository by its .gitignore files.
func (l *lister) walk(rel string) error {
	w := walker{lister: l, fold: foldsCase(l.root)}
	return w.dir(rel, ignore.Git{})
}

type walker struct {
	*lister

	fold bool
}

func (w walker) dir(rel string, rules ignore.Git) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	dir := filepath.Join(w.root, filepath.FromSlash(rel))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	for _, e := range entries {
		if e.Name() != ".gitignore" || !e.Type().IsRegular() { // git does not follow a link here
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("list the files: %w", err)
		}
		rules = rules.With(ignore.ParseList(rel, data, w.fold))
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		if skipped(e.Name()) || rules.Ignores(name, e.IsDir()) {
			continue
		}
		if err := w.visit(name, e, rules); err != nil {
			return err
		}
	}
	return nil
}

func (w walker) visit(name string, e fs.DirEntry, rules ignore.Git) error {
	if !e.IsDir() {
		w.files = append(w.files, File{Path: name})
		return nil
	}
	if _, err := os.Lstat(filepath.Join(w.root, filepath.FromSlash(name), ".git")); err == nil {
		return w.repository(name) // of a repository, git decides
	}
	return w.dir(name, rules)
}

// foldsCase reports whether the file system does not tell upper from lower case.
func foldsCase(dir string) bool {
	const name = "package.json"
	one, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return false
	}
	other, err := os.Stat(filepath.Join(dir, strings.ToUpper(name)))
	return err == nil && os.SameFile(one, other)
}

// readEASIgnore reads .easignore at the root. It returns nil if there is none.
func readEASIgnore(root string) (*ignore.NPM, error) {
	data, err := os.ReadFile(filepath.Join(root, EASIgnore))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", EASIgnore, err)
	}
	rules, err := ignore.ParseNPM(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(root, EASIgnore), err)
	}
	return rules, nil
}

// walkEAS lists a directory by the rules of EAS.
func (l *lister) walkEAS(rel string, rules *ignore.NPM) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(l.root, filepath.FromSlash(rel)))
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	sent := len(l.files) + len(l.dirs)
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		// EAS has both names as rules of their own, and its rules ignore case.
		if strings.EqualFold(e.Name(), "node_modules") || strings.EqualFold(e.Name(), ".git") {
			continue
		}
		ignored, err := rules.Ignores(name)
		if err != nil {
			return fmt.Errorf("%s: %w", EASIgnore, err)
		}
		switch {
		case ignored:
		case e.IsDir():
			if err := l.walkEAS(name, rules); err != nil {
				return err
			}
		default:
			l.files = append(l.files, File{Path: name})
		}
	}
	if rel != "" && len(l.files)+len(l.dirs) == sent {
		l.dirs = append(l.dirs, rel)
	}
	return nil
}

// compare marks which files git tracks, and those that it ignores.
func (l *lister) compare(byGit []File) {
	origins := make(map[string]origin, len(byGit))
	for _, f := range byGit {
		origins[f.Path] = f.origin
	}
	for i := range l.files {
		o, ok := origins[l.files[i].Path]
		if !ok {
			o = letIn
		}
		l.files[i].origin = o
	}
}
