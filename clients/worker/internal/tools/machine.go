package tools

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// versionWait bounds a question for a version: a shim of corepack asks a network.
const versionWait = 10 * time.Second

// versionOn returns the version of a program on path, and "" if there is none.
func (s *Store) versionOn(ctx context.Context, name, path string) string {
	program := lookUp(name, path)
	if program == "" {
		return ""
	}
	s.mu.Lock()
	known, ok := s.versions[program]
	s.mu.Unlock()
	if ok {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Dir = os.TempDir() // no package.json that names another version
	cmd.Env = []string{"PATH=" + path, "HOME=" + os.TempDir(), "COREPACK_ENABLE_NETWORK=0"}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	version := ""
	if v, parse := semver.StrictNewVersion(strings.TrimPrefix(strings.TrimSpace(string(out)), "v")); err == nil && parse == nil {
		version = v.String()
	}
	if ctx.Err() == nil { // else it may answer the next time
		s.mu.Lock()
		s.versions[program] = version
		s.mu.Unlock()
	}
	return version
}

func lookUp(name, path string) string {
	for _, dir := range filepath.SplitList(path) {
		program := filepath.Join(dir, name)
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(program) {
			return program
		}
	}
	return ""
}

// nodeManagers are where version managers keep Node.js: a pattern below the home directory or absolute, with the version in place of the star.
var nodeManagers = []struct{ name, pattern string }{ //nolint:gochecknoglobals // a table
	{"nvm", ".nvm/versions/node/v*/bin"},
	{"fnm", ".local/share/fnm/node-versions/v*/installation/bin"},
	{"fnm", "Library/Application Support/fnm/node-versions/v*/installation/bin"},
	{"Volta", ".volta/tools/image/node/*/bin"},
	{"asdf", ".asdf/installs/nodejs/*/bin"},
	{"mise", ".local/share/mise/installs/node/*/bin"},
	{"n", "/usr/local/n/versions/node/*/bin"},
	{"Homebrew", "/opt/homebrew/Cellar/node*/*/bin"},
	{"Homebrew", "/usr/local/Cellar/node*/*/bin"},
}

// managedNode returns the newest Node.js of a version manager that fits.
func managedNode(home string, fits func(string) bool) (t Tool, ok bool) {
	for _, m := range nodeManagers {
		pattern := m.pattern
		if !filepath.IsAbs(pattern) {
			if home == "" {
				continue
			}
			pattern = filepath.Join(home, filepath.FromSlash(pattern))
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // the home directory has a bracket in its name
		}
		for _, dir := range found {
			version := versionIn(dir)
			if fits(version) && lookUp("node", dir) != "" && (!ok || newer(version, t.Version)) {
				t, ok = Tool{Name: "node", Version: version, Dir: dir, Source: m.name}, true
			}
		}
	}
	return t, ok
}

// versionIn returns the part of a path that is a version.
func versionIn(dir string) string {
	for _, part := range strings.Split(filepath.ToSlash(dir), "/") {
		if v, err := semver.StrictNewVersion(strings.TrimPrefix(part, "v")); err == nil {
			return v.String()
		}
	}
	return ""
}

// constraint returns a test of versions. A range that cannot be read fits nothing and is an error.
func constraint(versions string) (fits func(string) bool, err error) {
	if versions == "" {
		return func(v string) bool { return v != "" }, nil
	}
	c, err := semver.NewConstraint(versions)
	if err != nil {
		return nil, err
	}
	return func(version string) bool {
		v, err := semver.StrictNewVersion(version)
		return err == nil && c.Check(v)
	}, nil
}

func newer(a, b string) bool {
	va, errA := semver.StrictNewVersion(a)
	vb, errB := semver.StrictNewVersion(b)
	return errA == nil && (errB != nil || va.GreaterThan(vb))
}
