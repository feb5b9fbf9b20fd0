// Package pack chooses which files of a project are submitted, and packs them.
package pack

import (
	"context"
	"encoding/json"
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
)

// Project is a directory with an app in it.
type Project struct {
	Dir string
	// Name is the app's slug, else its package's name.
	Name string
}

// ErrNotProject means that the directory holds no JavaScript project.
var ErrNotProject = errors.New("no package.json")

// Open looks whether dir is a project and finds its name.
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
		err = json.Unmarshal(data, &pkg)
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

// slugOf reads app.json; a project that computes its configuration (app.config.js) has none to read.
func slugOf(dir string) string {
	var app struct{ Expo struct{ Slug string } }
	data, err := os.ReadFile(filepath.Join(dir, "app.json"))
	if err != nil || json.Unmarshal(data, &app) != nil {
		return ""
	}
	return app.Expo.Slug
}

// Write packs the project as a tar.gz. Never .git or node_modules; and what the rules of .easignore at the top say, or where
// there is none those of every .gitignore, each for its own directory and below. Other dot files go along: .npmrc and .env
// matter to a build.
func (p Project) Write(ctx context.Context, w io.Writer) (archive.Summary, error) {
	rules := &rules{dir: p.Dir}
	if err := rules.load(); err != nil {
		return archive.Summary{}, err
	}
	return archive.PackTarGz(ctx, w, p.Dir, archive.PackOptions{Filter: rules.takes})
}

// rules are the ignore files met so far.
type rules struct {
	dir string
	eas *ignore.GitIgnore
	// git holds what counts in a directory (slash path): the lines of its own .gitignore after those of all above it, each
	// as the top's would say it.
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

// takes says whether rel goes into the archive. A directory that is refused is not entered, so nothing below it comes back.
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

// at returns what counts in a directory.
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

// fromTop rewrites a line of a directory's .gitignore as the top's would say it, by the rules of gitignore(5): a slash at the
// start or in the middle ties a pattern to its directory, others fit at any depth below.
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

// LocalEnv lists the .env*.local files at the top that would go along: they often hold what is meant for one machine only.
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
