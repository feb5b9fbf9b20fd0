// Package origin asks git which commit a directory is at, and which repository of GitHub that is of.
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

// patience bounds all that git is asked: a submit does not wait for a working copy on a drive that hangs.
const patience = 10 * time.Second

// Found is what git knows of a directory.
type Found struct {
	build.Origin

	// Dirty: what is in the directory is not what the commit has, so the commit is left out.
	Dirty bool
}

// Of is empty for a directory that git does not know, and where there is no git. enterprise is the host of a GitHub Enterprise
// server, if there is one.
func Of(ctx context.Context, dir, enterprise string) (f Found) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	commit, err := git(ctx, dir, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return f
	}
	// Of the directory only: the rest of the repository is not sent. What is new and not ignored is sent.
	changes, err := git(ctx, dir, "status", "--porcelain", "--untracked-files=normal", "--", ".")
	if f.Dirty = err != nil || changes != ""; !f.Dirty {
		f.Commit = commit
	}
	f.Branch, _ = git(ctx, dir, "symbolic-ref", "--quiet", "--short", "HEAD") // none while HEAD is detached
	if remote, err := git(ctx, dir, "remote", "get-url", "origin"); err == nil {
		f.Repository = repository(remote, enterprise)
	}
	return f.believable()
}

// believable leaves out what the server would refuse: a strange name must not stop a submit.
func (f Found) believable() Found {
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

// Commit returns the whole id of what git knows by that name, such as a tag or a short id.
func Commit(ctx context.Context, dir, name string) (string, error) {
	if name != "" && (build.Origin{Commit: name}).Check() == nil {
		return name, nil // a whole id needs no git
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	commit, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil || commit == "" {
		return "", errUnknown
	}
	return commit, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	// fsmonitor would run what the repository's own configuration names.
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), elsewhere), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// elsewhere says whether a variable would have git look at another repository than the directory's: hooks of git run with them.
func elsewhere(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "GIT_DIR" || name == "GIT_WORK_TREE" || name == "GIT_INDEX_FILE" || name == "GIT_PREFIX"
}

// scp is git's short form of an address: user@host:path.
var scp = regexp.MustCompile(`^(?:[^@/:]+@)?([^/:]+):([^/].*)$`)

// repository is owner/name of a repository at GitHub, empty for any other. No more of the address is used: it may hold a
// password.
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
