// Package pack opens the project to submit and packs what is sent of it.
package pack

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/origin"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
	"github.com/expo-free-agent/freeagent/shared/project/source"
)

// Project is an app, and what is sent of it.
type Project struct {
	// Name is the slug in app.json, else the name in package.json.
	Name string
	*source.Source
}

// ErrNotProject means that the directory holds no app.
var ErrNotProject = errors.New("not an app")

// Options of Open.
type Options struct {
	// Root is the directory to send, relative to the app; see package source.
	Root string
	// Command is what was typed without the directory, to name the command for another one.
	Command string
}

// Open reads the project in dir and lists what is sent. It returns ErrNotProject if dir is no app,
// and names those below it.
func Open(ctx context.Context, dir string, opts Options) (Project, error) {
	name, err := Name(dir, opts.Command)
	if err != nil {
		return Project{}, err
	}
	s, err := source.Open(ctx, dir, source.Options{Root: opts.Root})
	if err != nil {
		return Project{}, err
	}
	p := Project{Name: name, Source: s}
	return p, p.checkLimits()
}

// Name returns the name of the project in dir: the slug in app.json, else the name in package.json. It returns ErrNotProject if dir is no
// app. command is as in Options.
func Name(dir, command string) (string, error) {
	var pkg struct{ Name string }
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: no package.json in %s. %s", ErrNotProject, dir, hint(command, dir, appsBelow(dir)))
	}
	if err == nil {
		err = jsonfile.Unmarshal("package.json", data, &pkg)
	}
	if err != nil {
		return "", fmt.Errorf("package.json of %s: %w", dir, err)
	}
	if apps, root := otherApps(dir); len(apps) > 0 {
		what := "does not depend on expo or react-native"
		if root {
			what = "is the root of a workspace"
		}
		return "", fmt.Errorf("%w: %s %s. %s", ErrNotProject, dir, what, hint(command, dir, apps))
	}
	name := pkg.Name
	if slug := slugOf(dir); slug != "" {
		name = slug
	}
	return strings.TrimPrefix(name, "@"), nil
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

// Write packs what is sent as a tar.gz. digest gets what Digest writes, unless it is nil.
func (p Project) Write(ctx context.Context, w io.Writer, digest hash.Hash) (archive.Summary, error) {
	return archive.PackFiles(ctx, w, p.Root, p.names(), archive.PackOptions{Digest: digest})
}

// Digest writes names, modes, links and contents of what is sent to a hash.
func (p Project) Digest(ctx context.Context, h hash.Hash) error {
	return archive.DigestFiles(ctx, h, p.Root, p.names())
}

func (p Project) names() []string {
	names := make([]string, 0, len(p.Files)+len(p.Dirs))
	for _, f := range p.Files {
		names = append(names, f.Path)
	}
	return append(names, p.Dirs...)
}

// checkLimits fails if the server would refuse the archive for what it unpacks to.
func (p Project) checkLimits() error {
	limits := archive.SourceLimits()
	for _, f := range p.Files {
		if f.Size > limits.EntryBytes {
			return fmt.Errorf("%s has %s; a file may have %s. Name it in .gitignore or .easignore", f.Path, show.Size(f.Size), show.Size(limits.EntryBytes))
		}
	}
	switch n := len(p.Files) + len(p.Dirs); {
	case n > limits.Entries:
		return fmt.Errorf("%d files would be sent; at most %d may be. The largest folders: %s. Name what the build does not need in .gitignore or .easignore, or send less with --root",
			n, limits.Entries, p.LargestFolders())
	case p.Bytes() > limits.TotalBytes:
		return fmt.Errorf("%s would be sent; at most %s may be. The largest folders: %s. Name what the build does not need in .gitignore or .easignore, or send less with --root",
			show.Size(p.Bytes()), show.Size(limits.TotalBytes), p.LargestFolders())
	}
	return nil
}

// LargestFolders lists the folders that hold most of what is sent, for people.
func (p Project) LargestFolders() string {
	const most = 5
	var parts []string
	for _, f := range p.Largest(most) {
		parts = append(parts, fmt.Sprintf("%s %s", f.Path, show.Size(f.Bytes)))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// Modified reports whether what is sent is not exactly the commit that is checked out.
func (p Project) Modified(o origin.Found) bool {
	return o.Commit != "" && (o.Dirty || p.New > 0 || len(p.Differs) > 0)
}

// Counts says what the files are to git, for people: "git: 1,198 tracked, 6 new".
func (p Project) Counts(modified bool) string {
	var parts []string
	switch p.Selection {
	case source.ByGit:
		parts = append(parts, show.Count(p.Tracked)+" tracked")
		if p.New > 0 {
			parts = append(parts, show.Count(p.New)+" new")
		}
	case source.ByEASIgnore:
		parts = append(parts, "by .easignore")
	default:
		parts = append(parts, "no git repository")
	}
	if modified {
		parts = append(parts, "uncommitted changes")
	}
	text := strings.Join(parts, ", ")
	if p.Selection == source.ByGit {
		text = "git: " + text
	}
	return text
}
