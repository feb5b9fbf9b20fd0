package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// project is the source of a build. Its files are read through root: links that lead out of it are not followed.
type project struct {
	dir  string
	root *os.Root
	tree fs.FS
	// app is the app's directory, a slash path in tree; "." for the root.
	app string
	pkg workspace.Package
}

// open opens the source in dir, or in the only directory in it, which many archives have. The caller closes it.
func open(dir, appPath string) (*project, error) {
	p := &project{app: path.Clean(appPath)}
	var err error
	if p.dir, err = projectRoot(dir, p.app); err != nil {
		return nil, err
	}
	if p.root, err = os.OpenRoot(p.dir); err != nil {
		return nil, fmt.Errorf("open the project: %w", err)
	}
	p.tree = p.root.FS()
	if err := p.readPackage(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *project) close() { _ = p.root.Close() } // nothing was written

const noPackage = "the source has no package.json: submit the directory of the Expo app itself"

// projectRoot returns dir, or the only directory in it.
func projectRoot(dir, app string) (string, error) {
	if app != "." {
		return dir, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("read the project: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "package.json" || name == FileName:
			return dir, nil
		case e.IsDir() && !strings.HasPrefix(name, ".") && name != "__MACOSX":
			dirs = append(dirs, name)
		}
	}
	if len(dirs) == 1 {
		inner := filepath.Join(dir, dirs[0])
		if isRegular(filepath.Join(inner, "package.json")) || isRegular(filepath.Join(inner, FileName)) {
			return inner, nil
		}
	}
	return "", profile.Problem(noPackage)
}

// isRegular does not follow links, which may lead out of the project.
func isRegular(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// readPackage reads the app's package.json; a project with stages of its own needs none.
func (p *project) readPackage() (err error) {
	p.pkg, err = workspace.ReadPackage(p.tree, p.app)
	var syntax *jsonfile.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return profile.Problem(syntax.Error())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return profile.Problem(fmt.Sprintf("%s: %v", path.Join(p.app, "package.json"), err))
	case err != nil && !p.has(FileName):
		if p.app != "." {
			return profile.Problem(fmt.Sprintf("the source has no package.json in %s, the path of the app", p.app))
		}
		return profile.Problem(noPackage)
	}
	return nil
}

// has reports whether the app has a regular file of this name.
func (p *project) has(name string) bool {
	info, err := fs.Stat(p.tree, path.Join(p.app, name))
	return err == nil && info.Mode().IsRegular()
}

// hasDir reports whether the app has a directory of this name.
func (p *project) hasDir(name string) bool {
	info, err := fs.Stat(p.tree, path.Join(p.app, name))
	return err == nil && info.IsDir()
}

// maxFile bounds freeagent.json and its like, in bytes.
const maxFile = 4 << 20

// read reads a small file of the app.
func (p *project) read(name string) ([]byte, error) {
	name = path.Join(p.app, name)
	info, err := fs.Stat(p.tree, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, profile.Problem(fmt.Sprintf("%s has %d bytes, at most %d are read", name, info.Size(), maxFile))
	}
	return fs.ReadFile(p.tree, name)
}

// slug returns the base name of the result: expo.slug of app.json, or the package's name.
func (p *project) slug() string {
	var app struct {
		Expo struct{ Slug, Name string } `json:"expo"`
	}
	if data, err := p.read("app.json"); err == nil {
		_ = jsonfile.Unmarshal5("app.json", data, &app) // the tools will say what is wrong with it
	}
	for _, s := range []string{app.Expo.Slug, app.Expo.Name, p.pkg.Name} {
		if s = plainName(s); s != "" {
			return s
		}
	}
	return "app"
}

// plainName turns a text into a portable file name.
func plainName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r == ' ', r == '/':
			return '-'
		}
		return -1
	}, s)
	return strings.Trim(s[:min(len(s), 80)], "-.")
}
