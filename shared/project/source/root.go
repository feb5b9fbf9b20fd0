package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// ErrRoot says that the root does not contain the app, or does not exist.
var ErrRoot = errors.New("invalid root")

// findRoot sets Root and AppPath.
func (s *Source) findRoot(ctx context.Context, named string) error {
	where := "--root"
	if named == "" {
		var err error
		if named, err = namedRoot(s.App); err != nil {
			return err
		}
		where = `"root" in freeagent.json`
	}
	if named == "" {
		var err error
		if s.Root, err = s.defaultRoot(ctx); err != nil {
			return err
		}
	} else {
		dir := filepath.FromSlash(named)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(s.App, dir)
		}
		root, err := realDir(dir)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrRoot, where, err)
		}
		if filepath.Dir(root) == root {
			return fmt.Errorf("%w: %s %q is %s, the whole file system. Name the directory of the workspace", ErrRoot, where, named, root)
		}
		s.Root = root
	}
	rel, err := filepath.Rel(s.Root, s.App)
	if err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%w: %s %q is %s, and the app %s is not in it. The root is the app's directory or one above it, relative to the app: \".\" or \"../..\"",
			ErrRoot, where, named, s.Root, s.App)
	}
	if rel = filepath.ToSlash(rel); rel != "." {
		s.AppPath = rel
	}
	return nil
}

// namedRoot returns the root in the app's freeagent.json, and "" if it names none.
func namedRoot(app string) (string, error) {
	const name = "freeagent.json"
	data, err := os.ReadFile(filepath.Join(app, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var file struct {
		Root string `json:"root"`
	}
	if err == nil {
		err = jsonfile.Unmarshal(name, data, &file)
	}
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", name, app, err)
	}
	if path.IsAbs(file.Root) || filepath.IsAbs(file.Root) || strings.Contains(file.Root, `\`) {
		return "", fmt.Errorf("%w: \"root\" %q in %s of %s is not a path relative to the app, with slashes, such as \".\" or \"../..\"", ErrRoot, file.Root, name, app)
	}
	return file.Root, nil
}

// defaultRoot returns the root of the app's workspace, else of its repository, else the app.
func (s *Source) defaultRoot(ctx context.Context) (string, error) {
	app := s.App
	top, err := topOf(ctx, app)
	if err != nil {
		return "", err
	}
	limit := top
	if limit == "" { // a workspace may be there without a repository
		limit = filepath.VolumeName(app) + string(filepath.Separator)
	}
	tree, err := os.OpenRoot(limit)
	if err != nil {
		return "", fmt.Errorf("look for the app's workspace: %w", err)
	}
	defer tree.Close()
	rel, err := filepath.Rel(limit, app)
	if err != nil {
		return "", fmt.Errorf("look for the app's workspace: %w", err)
	}
	w, ok, err := workspace.Find(tree.FS(), filepath.ToSlash(rel))
	switch {
	case err != nil && top == "":
		// Directories above that have nothing to do with the app may hold anything.
		s.Warnings = append(s.Warnings, fmt.Sprintf("no workspace is looked for: %v. Name the root with --root if the app is in one", err))
		return app, nil
	case err != nil:
		return "", fmt.Errorf("look for the app's workspace: %w", err)
	case ok:
		return filepath.Join(limit, filepath.FromSlash(w.Dir)), nil
	case top != "":
		return top, nil
	}
	return app, nil
}
