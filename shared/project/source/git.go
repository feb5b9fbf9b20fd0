package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrGit says that git refuses, or is missing although the app is in a repository.
var ErrGit = errors.New("git cannot list the files")

// gitTimeout bounds one git command, in case the drive hangs.
const gitTimeout = 2 * time.Minute

// gitError is git's refusal.
type gitError struct {
	stderr string
	err    error
}

func (e *gitError) Error() string {
	if e.stderr == "" {
		return "git: " + e.err.Error()
	}
	return "git says: " + e.stderr
}

func (e *gitError) Unwrap() error { return e.err }

// git runs a command in dir and returns what it prints.
func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	// fsmonitor would run a command from the repository's configuration.
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), redirects), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], context.Cause(ctx))
	}
	return nil, &gitError{stderr: strings.TrimSpace(stderr.String()), err: err}
}

// redirects reports whether the variable points git to another repository. Git sets such variables
// for its hooks.
func redirects(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains([]string{
		"GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
	}, name)
}

// topOf returns the top of the work tree that dir is in, and "" outside of any. A repository that
// git does not read is an ErrGit: what is ignored there is not known.
func topOf(ctx context.Context, dir string) (string, error) {
	marker := markerAbove(dir)
	out, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err == nil {
		top, err := filepath.EvalSymlinks(filepath.FromSlash(strings.TrimSuffix(string(out), "\n")))
		if err != nil {
			return "", fmt.Errorf("top of the repository: %w", err)
		}
		return top, nil
	}
	var refusal *gitError
	missing := errors.Is(err, exec.ErrNotFound)
	switch {
	case !errors.As(err, &refusal):
		return "", err
	case marker == "" && (missing || strings.Contains(refusal.stderr, "not a git repository")):
		return "", nil
	case missing:
		return "", fmt.Errorf("%w: %s is in a repository (%s), and git is not installed. Install it: git decides what is sent", ErrGit, dir, marker)
	case marker != "" && strings.Contains(refusal.stderr, "not a git repository"):
		return "", fmt.Errorf("%w: %s is there, and git does not take it for a repository. Repair it, or remove it to send the directory without git.\n%w", ErrGit, marker, err)
	}
	return "", fmt.Errorf("%w of %s. Nothing was sent, since git decides what is.\n%w", ErrGit, dir, err)
}

// markerAbove returns the nearest .git in dir or above, and "" if there is none.
func markerAbove(dir string) string {
	for {
		marker := filepath.Join(dir, ".git")
		if _, err := os.Lstat(marker); err == nil {
			return marker
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// ignoringRule returns the rule by which git ignores a directory, as "file:line: pattern".
func ignoringRule(ctx context.Context, dir string) string {
	out, err := git(ctx, filepath.Dir(dir), "check-ignore", "--verbose", "--", dir)
	if err != nil {
		return ""
	}
	rule, _, _ := strings.Cut(string(out), "\t")
	return strings.TrimSpace(rule)
}
