package pack

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// otherApps returns the apps below dir, as slash paths, if dir has a package.json and is no app
// itself: the root of a workspace, or a directory of several projects.
func otherApps(dir string) (apps []string, workspaceRoot bool) {
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return nil, false
	}
	defer tree.Close()
	p, err := workspace.ReadPackage(tree.FS(), ".")
	if err != nil || p.IsApp() || hasAppFile(dir) {
		return nil, false
	}
	w, ok, err := workspace.Find(tree.FS(), ".")
	if err != nil || !ok {
		return appsBelow(dir), false
	}
	if apps, err = w.Apps(); err != nil {
		return nil, false
	}
	return apps, true
}

// hasAppFile reports whether a file says that dir is built.
func hasAppFile(dir string) bool {
	return slices.ContainsFunc([]string{"freeagent.json", "eas.json", "app.json", "app.config.js", "app.config.ts"}, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

const (
	// appDepth bounds how far below a directory apps are looked for, maxApps how many are listed.
	appDepth = 4
	maxApps  = 20
)

// appsBelow looks for apps below dir, in hidden directories and node_modules excepted.
func appsBelow(dir string) (apps []string) {
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer tree.Close()
	err = fs.WalkDir(tree.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // what cannot be read has no app to speak of
		case !d.IsDir() || rel == ".":
			return nil
		case d.Name() == "node_modules" || d.Name()[0] == '.' || strings.Count(rel, "/") >= appDepth:
			return fs.SkipDir
		case len(apps) == maxApps:
			return fs.SkipAll
		}
		if p, err := workspace.ReadPackage(tree.FS(), rel); err == nil && p.IsApp() {
			apps = append(apps, rel)
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return apps
}

// hint says what to type instead.
func hint(command, dir string, apps []string) string {
	if len(apps) == 0 {
		return "Go to your app's directory, or name it: " + command + " path/to/app"
	}
	var b strings.Builder
	b.WriteString("Name one of its apps:")
	for _, a := range apps {
		name := filepath.Join(dir, filepath.FromSlash(a))
		if strings.ContainsAny(name, " '\"()[]&;$") {
			name = "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
		}
		fmt.Fprintf(&b, "\n  %s %s", command, name)
	}
	return b.String()
}
