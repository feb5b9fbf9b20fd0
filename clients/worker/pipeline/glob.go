package pipeline

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Match returns the slash paths below r that the result pattern names, sorted; none is no error. Links are not followed on the way, so
// nothing outside is found.
func Match(r *os.Root, pattern string) ([]string, error) {
	pattern = path.Clean(pattern)
	if !strings.ContainsAny(pattern, "*?[{") {
		if _, err := r.Stat(pattern); err != nil {
			return nil, nil //nolint:nilerr // nothing there, or a link to the outside
		}
		return []string{pattern}, nil
	}
	var found []string
	err := fs.WalkDir(r.FS(), literalFront(strings.Split(pattern, "/")), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // vanished or unreadable: nothing of the result is there
		case doublestar.MatchUnvalidated(pattern, name):
			found = append(found, name)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for the result: %w", err)
	}
	slices.Sort(found)
	return found, nil
}

// literalFront is the path before the first wildcard: node_modules need not be walked for "android/**/*.apk".
func literalFront(segments []string) string {
	n := slices.IndexFunc(segments, func(s string) bool { return strings.ContainsAny(s, "*?[{") })
	return path.Join(append([]string{"."}, segments[:n]...)...)
}
