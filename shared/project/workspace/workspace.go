package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"go.yaml.in/yaml/v3"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// Workspace is several packages that are installed together.
type Workspace struct {
	// Dir is the root, with the lock file: a slash path in the tree that was searched.
	Dir string
	// File declares the packages: package.json or pnpm-workspace.yaml.
	File string
	// Patterns name the directories of the packages, as slash paths below Dir. One that begins with ! excludes.
	Patterns []string

	tree fs.FS
}

// maxFile bounds the files that declare a workspace, in bytes.
const maxFile = 4 << 20

// Find returns the nearest workspace in dir or above that dir belongs to: that has dir as its root or as a package. dir is a slash path in
// tree, which should be that of an os.Root: links out of it are not followed. ok is false if there is none. A file that declares
// packages and cannot be read is an error.
func Find(tree fs.FS, dir string) (w Workspace, ok bool, err error) {
	for at := dir; ; at = path.Dir(at) {
		w, ok, err = open(tree, at)
		if err != nil {
			return Workspace{}, false, err
		}
		if ok && w.Has(below(at, dir)) {
			return w, true, nil
		}
		if at == "." {
			return Workspace{}, false, nil
		}
	}
}

// below returns the path of dir below its parent at.
func below(at, dir string) string {
	if at == dir {
		return "."
	}
	if at == "." {
		return dir
	}
	return strings.TrimPrefix(dir, at+"/")
}

// open reads the workspace whose root is dir.
func open(tree fs.FS, dir string) (w Workspace, ok bool, err error) {
	w = Workspace{Dir: dir, File: "pnpm-workspace.yaml", tree: tree}
	var pnpm struct {
		Packages []string `yaml:"packages"`
	}
	data, err := readFile(tree, path.Join(dir, w.File))
	switch {
	case err == nil:
		if err := yaml.Unmarshal(data, &pnpm); err != nil {
			return w, false, fmt.Errorf("%s: %w", path.Join(dir, w.File), err)
		}
		if len(pnpm.Packages) > 0 { // without packages the file only has settings of one package
			w.Patterns = pnpm.Packages
			return w, true, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return w, false, err
	}
	w.File = "package.json"
	p, err := ReadPackage(tree, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return w, false, nil
	}
	w.Patterns = p.Workspaces
	return w, err == nil && len(w.Patterns) > 0, err
}

// Has reports whether the workspace has a package in the directory rel, a slash path below its root; "." is the root.
func (w Workspace) Has(rel string) bool {
	if rel == "." {
		return true
	}
	has := false
	for _, p := range w.Patterns {
		p, excludes := strings.CutPrefix(p, "!")
		if ok, err := doublestar.Match(cleanPattern(p), rel); err == nil && ok {
			has = !excludes
		}
	}
	return has
}

// cleanPattern removes what package managers ignore in patterns: a leading ./ and a slash at the end.
func cleanPattern(p string) string { return path.Clean(strings.TrimPrefix(p, "/")) }

// Packages returns the directories of the packages that have a package.json, as sorted slash paths below Dir. The root is not among them.
func (w Workspace) Packages() ([]string, error) {
	root, err := fs.Sub(w.tree, w.Dir)
	if err != nil {
		return nil, fmt.Errorf("packages of %s: %w", w.Dir, err)
	}
	var found []string
	for _, p := range w.Patterns {
		if strings.HasPrefix(p, "!") {
			continue
		}
		manifests, err := doublestar.Glob(root, path.Join(cleanPattern(p), "package.json"), doublestar.WithNoFollow())
		if err != nil {
			return nil, fmt.Errorf("%s: pattern %q: %w", path.Join(w.Dir, w.File), p, err)
		}
		for _, m := range manifests {
			if dir := path.Dir(m); !strings.Contains("/"+dir+"/", "/node_modules/") && w.Has(dir) && dir != "." {
				found = append(found, dir)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Apps returns the packages that are apps, as sorted slash paths below Dir.
func (w Workspace) Apps() ([]string, error) {
	all, err := w.Packages()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(dir string) bool {
		p, err := ReadPackage(w.tree, path.Join(w.Dir, dir))
		return err != nil || !p.IsApp()
	}), nil
}

// Package is the part of package.json that says how it is installed.
type Package struct {
	Name            string            `json:"name"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
	Scripts         map[string]string `json:"scripts"`
	// PackageManager names it with its version, as corepack reads it: "pnpm@9.1.0+sha512.…".
	PackageManager string            `json:"packageManager"`
	Engines        map[string]string `json:"engines"`
	// Workspaces are the patterns of its packages.
	Workspaces patterns `json:"workspaces"`
}

// patterns are a list, or an object with one.
type patterns []string

// UnmarshalJSON implements json.Unmarshaler. What is neither is left to the package manager, which has a message of its own.
func (p *patterns) UnmarshalJSON(data []byte) error {
	var object struct {
		Packages []string `json:"packages"`
	}
	if json.Unmarshal(data, (*[]string)(p)) == nil {
		return nil
	}
	if json.Unmarshal(data, &object) == nil {
		*p = object.Packages
	}
	return nil
}

// Has reports whether the package depends on another.
func (p Package) Has(name string) bool {
	return p.Dependencies[name] != "" || p.DevDependencies[name] != ""
}

// HasHooks reports whether package.json has scripts that builds run (eas-build-*), which may change their result in any way.
func (p Package) HasHooks() bool {
	for name := range p.Scripts {
		if strings.HasPrefix(name, "eas-build-") {
			return true
		}
	}
	return false
}

// IsApp reports whether the package looks like an app: it depends on expo or react-native, and libraries have them as peers.
func (p Package) IsApp() bool {
	return p.Dependencies["expo"] != "" || p.Dependencies["react-native"] != ""
}

// ReadPackage reads package.json in dir. It is fs.ErrNotExist if there is none. As npm does, it ignores a byte order mark.
func ReadPackage(tree fs.FS, dir string) (p Package, err error) {
	name := path.Join(dir, "package.json")
	data, err := readFile(tree, name)
	if err != nil {
		return p, err
	}
	err = jsonfile.Unmarshal(name, data, &p)
	return p, err
}

func readFile(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a file of at most %d MiB", name, maxFile>>20)
	}
	return fs.ReadFile(tree, name)
}

// isFile reports whether tree has a regular file of this name.
func isFile(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.Mode().IsRegular()
}
