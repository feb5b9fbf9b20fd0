// Package pack selects the files of a project to submit and packs them.
package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	ignore "github.com/sabhiram/go-gitignore"

	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// Project is a directory with an app in it.
type Project struct {
	Dir string
	// Name is the slug in app.json, else the name in package.json.
	Name string
}

// ErrNotProject means that the directory holds no JavaScript project.
var ErrNotProject = errors.New("no package.json")

// Open reads the project in dir. It returns ErrNotProject if there is none.
func Open(dir string) (Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Project{}, fmt.Errorf("project directory: %w", err)
	}
	var pkg struct{ Name string }
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if errors.Is(err, os.ErrNotExist) {
		return Project{}, fmt.Errorf("%w in %s. Go to your app's directory, or name it: freeagent submit path/to/app", ErrNotProject, dir)
	}
	if err == nil {
		err = jsonfile.Unmarshal("package.json", data, &pkg)
	}
	if err != nil {
		return Project{}, fmt.Errorf("package.json of %s: %w", dir, err)
	}
	name := pkg.Name
	if slug := slugOf(dir); slug != "" {
		name = slug
	}
	return Project{Dir: dir, Name: strings.TrimPrefix(name, "@")}, nil
}

// slugOf reads the slug from app.json. It returns "" if the project has none, or only
// app.config.js.
func slugOf(dir string) string {
	var app struct{ Expo struct{ Slug string } }
	data, err := os.ReadFile(filepath.Join(dir, "app.json"))
	if err != nil || jsonfile.Unmarshal5("app.json", data, &app) != nil {
		return ""
	}
	return app.Expo.Slug
}

// Write packs the project as a tar.gz, without .git and node_modules. The top-level .easignore
// excludes more files; without one, every .gitignore does for its directory and below. Dot files
// such as .npmrc and .env are included: builds need them.
func (p Project) Write(ctx context.Context, w io.Writer) (archive.Summary, error) {
	rules := &rules{dir: p.Dir}
	if err := rules.load(); err != nil {
		return archive.Summary{}, err
	}
	return archive.PackTarGz(ctx, w, p.Dir, archive.PackOptions{Filter: rules.takes})
}

// rules are the ignore files read so far.
type rules struct {
	dir string
	eas *ignore.GitIgnore
	// git holds the rules of each directory (slash path): the lines of all .gitignore files from
	// the top down to its own, rewritten relative to the top.
	git map[string]directory
}

type directory struct {
	lines   []string
	matcher *ignore.GitIgnore
}

func (r *rules) load() error {
	r.git = map[string]directory{}
	eas, err := ignore.CompileIgnoreFile(filepath.Join(r.dir, ".easignore"))
	switch {
	case err == nil:
		r.eas = eas
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("read .easignore: %w", err)
	}
	return nil
}

// takes reports whether rel goes into the archive. Nothing below an excluded directory can be
// included again.
func (r *rules) takes(rel string, d fs.DirEntry) bool {
	base := path.Base(rel)
	if d.IsDir() && (base == ".git" || base == "node_modules") {
		return false
	}
	name := rel
	if d.IsDir() {
		name += "/"
	}
	if r.eas != nil {
		return !r.eas.MatchesPath(name)
	}
	return !r.at(path.Dir(rel)).matcher.MatchesPath(name)
}

// at returns the rules of a directory.
func (r *rules) at(dir string) directory {
	if d, ok := r.git[dir]; ok {
		return d
	}
	var d directory
	if dir != "." {
		d.lines = slices.Clone(r.at(path.Dir(dir)).lines)
	}
	// A .gitignore that cannot be read ignores nothing.
	if data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(dir), ".gitignore")); err == nil {
		for line := range strings.Lines(string(data)) {
			d.lines = append(d.lines, fromTop(dir, strings.TrimRight(line, "\r\n")))
		}
	}
	d.matcher = ignore.CompileIgnoreLines(d.lines...)
	r.git[dir] = d
	return d
}

// fromTop rewrites a .gitignore line of dir relative to the top, as gitignore(5) defines: a slash
// at the start or in the middle anchors a pattern to its directory; other patterns match at any
// depth.
func fromTop(dir, line string) string {
	pattern, negated := strings.CutPrefix(line, "!")
	if dir == "." || strings.TrimSpace(pattern) == "" || strings.HasPrefix(pattern, "#") {
		return line
	}
	if strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
		pattern = "/" + dir + "/" + strings.TrimPrefix(pattern, "/")
	} else {
		pattern = "/" + dir + "/**/" + pattern
	}
	if negated {
		return "!" + pattern
	}
	return pattern
}

// LocalEnv lists the top-level .env*.local files that the archive includes. They often hold secrets
// of one machine.
func (p Project) LocalEnv() []string {
	found, err := filepath.Glob(filepath.Join(p.Dir, ".env*.local"))
	if err != nil {
		return nil
	}
	rules := &rules{dir: p.Dir}
	if rules.load() != nil {
		return nil
	}
	var names []string
	for _, f := range found {
		info, err := os.Lstat(f)
		if err == nil && rules.takes(filepath.Base(f), fs.FileInfoToDirEntry(info)) {
			names = append(names, filepath.Base(f))
		}
	}
	return names
}
