package shell

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
)

// ErrWorkDir means that builds cannot run in a directory.
var ErrWorkDir = errors.New("work directory")

const (
	// maxSocket is how long the path of a Unix socket may be on macOS, with its final NUL. Linux allows 108.
	maxSocket = 104
	// socketName is what tools need behind $TMPDIR.
	socketName = 40
	// attemptPath is the longest path from the work directory to an attempt's TMPDIR.
	attemptPath = len("/builds/64/tmp")
	// maxWorkDir is the longest work directory whose builds can make sockets in their TMPDIR.
	maxWorkDir = maxSocket - 1 - socketName - attemptPath
)

// CheckWorkDir refuses a directory in which builds of some tools break, with ErrWorkDir: React Native's Xcode phases break on a space, and
// Unix sockets need short paths.
func CheckWorkDir(dir string) error {
	switch {
	case !filepath.IsAbs(dir):
		return fmt.Errorf("%w %q must be an absolute path. Choose another --work-dir", ErrWorkDir, dir)
	case strings.ContainsAny(dir, " \t\n\"'$`\\:"):
		return fmt.Errorf("%w %q has a space or another character on which Xcode's script phases break. Choose another --work-dir", ErrWorkDir, dir)
	case len(dir) > maxWorkDir:
		return fmt.Errorf("%w %q is too long for Unix sockets: it has %d bytes, at most %d are possible. Choose another --work-dir",
			ErrWorkDir, dir, len(dir), maxWorkDir)
	}
	return nil
}

// ChooseWorkDir returns the directory in which builds run, and creates it: given, if it is not empty; the state directory, if builds can run
// there; else a short one in the home directory or the system's directory for such files, of its own for each state directory. It is ErrWorkDir
// if there is none, or if it does not belong to this user alone. getenv is os.Getenv.
func ChooseWorkDir(given, stateDir string, getenv func(string) string) (string, error) {
	if given != "" {
		if err := CheckWorkDir(given); err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Dir(given), 0o700); err != nil {
			return "", fmt.Errorf("%w: %w", ErrWorkDir, err)
		}
		// The operator's own links are followed.
		if target, err := filepath.EvalSymlinks(given); err == nil {
			return given, private(target)
		}
		return given, private(given)
	}
	if CheckWorkDir(stateDir) == nil {
		return stateDir, nil
	}
	errs := []error{CheckWorkDir(stateDir)}
	for _, dir := range shortDirs(stateDir, getenv) {
		err := CheckWorkDir(dir)
		if err == nil {
			err = private(filepath.Dir(dir), dir)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// shortDirs are the candidates, the best first. A directory for temporary files comes last: systems remove old files there.
func shortDirs(stateDir string, getenv func(string) string) []string {
	sum := sha256.Sum256([]byte(filepath.Clean(stateDir)))
	key := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:6])
	var all []string
	if home := getenv("HOME"); home != "" && home != "/" {
		all = append(all, filepath.Join(home, ".freeagent", key))
	}
	shared := "/var/tmp"
	if goruntime.GOOS == "darwin" {
		shared = "/Users/Shared"
	}
	return append(all, filepath.Join(shared, fmt.Sprintf("fa-%d", os.Getuid()), key))
}

// private creates directories, each in the one before, that only this user can enter. One that is there must belong to this user: another one
// may have made it, or a link in its place, to read and change builds.
func private(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %w", ErrWorkDir, err)
		}
		info, err := os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrWorkDir, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("%w %s is a link or a file. Remove it, or choose another --work-dir", ErrWorkDir, dir)
		}
		if !isOwn(info) {
			return fmt.Errorf("%w %s belongs to another user. Choose another --work-dir", ErrWorkDir, dir)
		}
		if info.Mode().Perm()&0o077 != 0 {
			if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory
				return fmt.Errorf("%w: %w", ErrWorkDir, err)
			}
		}
	}
	return nil
}
