// Package origin finds the commit, branch and GitHub repository of a directory with git.
package origin

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// gitTimeout bounds all git commands of a submit together, in case the drive hangs.
const gitTimeout = 30 * time.Second

// Found is the origin of a directory.
type Found struct {
	build.Origin

	// Dirty means that tracked files have uncommitted changes, in submodules too. New files are not
	// looked at: package source knows which of them are sent.
	Dirty bool
}

// Of returns the origin of dir, the root of what is sent. It is empty outside of a repository and
// without git. enterprise is the host of a GitHub Enterprise server, or empty.
func Of(ctx context.Context, dir, enterprise string) (f Found) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	commit, err := git(ctx, dir, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return f
	}
	f.Commit = commit
	// Only the directory is submitted, not the rest of the repository. A submodule may be configured
	// to be ignored.
	changes, err := git(ctx, dir, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=untracked", "--", ".")
	f.Dirty = err != nil || changes != ""
	f.Branch, _ = git(ctx, dir, "symbolic-ref", "--quiet", "--short", "HEAD") // none while HEAD is detached
	if remote, err := git(ctx, dir, "remote", "get-url", "origin"); err == nil {
		f.Repository = repository(remote, enterprise)
	}
	return f.dropInvalid()
}

// dropInvalid clears fields that the server would refuse: a strange branch name must not prevent a
// submit.
func (f Found) dropInvalid() Found {
	if (build.Origin{Commit: f.Commit}).Check() != nil {
		f.Commit = ""
	}
	if (build.Origin{Branch: f.Branch}).Check() != nil {
		f.Branch = ""
	}
	if (build.Origin{Repository: f.Repository}).Check() != nil {
		f.Repository = ""
	}
	return f
}

var errUnknown = errors.New("unknown to git")

// Commit resolves a git revision, such as a tag or a short id, to a full commit id.
func Commit(ctx context.Context, dir, name string) (string, error) {
	if name != "" && (build.Origin{Commit: name}).Check() == nil {
		return name, nil // a whole id needs no git
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	commit, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil || commit == "" {
		return "", errUnknown
	}
	return commit, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	// fsmonitor would run a command from the repository's configuration.
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), redirectsGit), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// redirectsGit reports whether the variable points git to another repository. Git sets such
// variables for its hooks.
func redirectsGit(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "GIT_DIR" || name == "GIT_WORK_TREE" || name == "GIT_INDEX_FILE" || name == "GIT_PREFIX"
}

// scp is git's short form of an address: user@host:path.
var scp = regexp.MustCompile(`^(?:[^@/:]+@)?([^/:]+):([^/].*)$`)

// repository returns owner/name of a GitHub remote, and "" for any other. The rest of the URL may
// hold a password, so it is not used.
func repository(remote, enterprise string) string {
	host, path := "", ""
	if m := scp.FindStringSubmatch(remote); m != nil && !strings.Contains(remote, "://") {
		host, path = m[1], m[2]
	} else if u, err := url.Parse(remote); err == nil {
		host, path = u.Hostname(), strings.TrimPrefix(u.Path, "/")
	}
	if host = strings.ToLower(host); host != "github.com" && host != "ssh.github.com" && (enterprise == "" || !strings.EqualFold(host, enterprise)) {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(path, "/"), ".git")
}
