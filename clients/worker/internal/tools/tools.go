package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Need is a tool that a project asks for.
type Need struct {
	// Name is node, npm, yarn, pnpm or bun.
	Name string
	// Range of versions, as npm writes them; empty: any.
	Range string
	// From says where the project asks for it: "eas.json".
	From string
}

// String returns "node 20.18.0".
func (n Need) String() string { return strings.TrimSpace(n.Name + " " + n.Range) }

// keepFor is how long a fetched version is kept that no build uses.
const keepFor = 30 * 24 * time.Hour

// Store keeps fetched tools in a directory. It is safe for concurrent use.
type Store struct {
	dir, home, path string
	log             *slog.Logger

	mu sync.Mutex
	// versions of the machine's programs, by their path.
	versions map[string]string
	fetching map[string]*sync.Mutex
}

// New returns the store in dir, which it creates when it fetches. path is the PATH of builds; home has the version managers' directories and
// may be empty.
func New(dir, path, home string, log *slog.Logger) *Store {
	return &Store{dir: dir, path: path, home: home, log: log, versions: map[string]string{}, fetching: map[string]*sync.Mutex{}}
}

// Tool is one that was found.
type Tool struct {
	Name, Version string
	// Dir is to be put on the PATH; empty if the tool is on it already.
	Dir string
	// Source says where it is from: "this machine", "nvm", "the registry".
	Source string
}

// Find looks for a tool without fetching anything. ok is false if there is none that fits.
func (s *Store) Find(ctx context.Context, n Need) (t Tool, ok bool) {
	fits, err := constraint(n.Range)
	if err != nil {
		return Tool{}, false
	}
	if v := s.versionOn(ctx, n.Name, s.path); v != "" && fits(v) {
		return Tool{Name: n.Name, Version: v, Source: "this machine"}, true
	}
	if n.Name == "node" {
		if t, ok := managedNode(s.home, fits); ok {
			return t, true
		}
	}
	return s.kept(n.Name, fits)
}

// kept returns the newest fetched version that fits.
func (s *Store) kept(name string, fits func(string) bool) (t Tool, ok bool) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return Tool{}, false // nothing was fetched yet
	}
	for _, e := range entries {
		version, is := strings.CutPrefix(e.Name(), name+"@")
		if is && fits(version) && (!ok || newer(version, t.Version)) {
			t, ok = Tool{Name: name, Version: version, Dir: binDir(filepath.Join(s.dir, e.Name()), name), Source: "the registry"}, true
		}
	}
	if ok {
		now := time.Now()
		_ = os.Chtimes(filepath.Join(s.dir, name+"@"+t.Version), now, now) // it is in use; Prune keeps it anyway for a month
	}
	return t, ok
}

// Run runs a shell script of the build, with the PATH of tools found so far.
type Run func(ctx context.Context, script string) error

// Fetch gets a tool from the npm registry with run, which is a command of the build: it sees the registry's settings, and its output is in the
// build's log. An error is that of run, or the machine's.
func (s *Store) Fetch(ctx context.Context, n Need, run Run) (Tool, error) {
	pkg, err := packageOf(n)
	if err != nil {
		return Tool{}, err
	}
	unlock := s.lock(n.Name)
	defer unlock()
	if t, ok := s.Find(ctx, n); ok { // another build has fetched it meanwhile
		return t, nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return Tool{}, fmt.Errorf("tools: %w", err)
	}
	tmp, err := os.MkdirTemp(s.dir, ".fetch-")
	if err != nil {
		return Tool{}, fmt.Errorf("tools: %w", err)
	}
	defer os.RemoveAll(tmp)
	scripts := " --ignore-scripts"
	if n.Name == "bun" { // its script puts the program in place
		scripts = ""
	}
	script := fmt.Sprintf("npm install --prefix %s --global=false --no-save --no-package-lock --omit=dev%s %s", quote(tmp), scripts, quote(pkg.spec))
	if err := run(ctx, script); err != nil {
		return Tool{}, err
	}
	version, err := installed(tmp, pkg.name)
	if err != nil {
		return Tool{}, err
	}
	to := filepath.Join(s.dir, n.Name+"@"+version)
	if err := os.Rename(tmp, to); err != nil && !errors.Is(err, fs.ErrExist) {
		return Tool{}, fmt.Errorf("tools: %w", err)
	}
	return Tool{Name: n.Name, Version: version, Dir: binDir(to, n.Name), Source: "the registry"}, nil
}

// lock has one build fetch a tool at a time.
func (s *Store) lock(name string) (unlock func()) {
	s.mu.Lock()
	mu := s.fetching[name]
	if mu == nil {
		mu = &sync.Mutex{}
		s.fetching[name] = mu
	}
	s.mu.Unlock()
	mu.Lock()
	return mu.Unlock
}

// Prune removes versions that no build has used for a month, and what a killed worker left half fetched.
func (s *Store) Prune() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && (strings.HasPrefix(e.Name(), ".") || time.Since(info.ModTime()) > keepFor) {
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("prune tools: %w", err)
	}
	return nil
}

func installed(prefix, name string) (string, error) {
	var pkg struct {
		Version string `json:"version"`
	}
	data, err := os.ReadFile(filepath.Join(prefix, "node_modules", filepath.FromSlash(name), "package.json"))
	if err == nil {
		err = json.Unmarshal(data, &pkg)
	}
	if err != nil {
		return "", fmt.Errorf("tools: %s was not installed: %w", name, err)
	}
	version := strings.TrimPrefix(pkg.Version, "v") // npm accepts it, and some packages of Node.js have it
	if _, err := semver.StrictNewVersion(version); err != nil {
		return "", fmt.Errorf("tools: %s has the version %.40q: %w", name, pkg.Version, err)
	}
	return version, nil
}

// quote makes a word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
