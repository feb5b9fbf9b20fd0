package submit

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
	"github.com/expo-free-agent/freeagent/shared/project/source"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// checkApp refuses an app whose app config or package.json no tool can read, and warns about files that the build would miss: images and
// Google services files that the config names, and the lock file. Apps with stages of their own are not checked.
func (o *options) checkApp() error {
	root, err := os.OpenRoot(o.project.Root)
	if err != nil {
		return fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	tree, app := root.FS(), path.Clean(o.project.AppPath)
	pkg, err := workspace.ReadPackage(tree, app)
	if err != nil {
		return err
	}
	if !pkg.IsApp() {
		fmt.Fprintf(o.io.Err, "warning: %s does not depend on expo or react-native: workers cannot build it without stages of its own in freeagent.json\n",
			show.Safe(path.Join(app, "package.json")))
		return nil
	}
	install, err := workspace.InstallOf(tree, app)
	if err == nil && install.LockFile != "" {
		err = checkConflicts(tree, install.LockFile)
	}
	if err != nil {
		return err
	}
	sent := o.sent()
	if lock := install.LockFile; lock != "" && !sent(lock) {
		install.Warnings = append(install.Warnings, fmt.Sprintf("the lock file %s is not sent, since it is ignored: the versions installed may differ from build to build", lock))
	}
	missing, err := appjson.Check(tree, app, o.Platform, sent)
	if err != nil {
		return err
	}
	for _, m := range missing {
		what := "which does not exist"
		if _, err := root.Stat(m.Path); err == nil {
			what = "which is not sent, since it is ignored"
		}
		install.Warnings = append(install.Warnings, fmt.Sprintf("%s, %s. A native build fails without it", m, what))
	}
	for _, w := range install.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(w))
	}
	return nil
}

// checkConflicts refuses a lock file that a merge has left unfinished: package managers take it for a missing one, or resolve it anew.
func checkConflicts(tree fs.FS, name string) error {
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("<<<<<<< ")) || bytes.HasPrefix(line, []byte(">>>>>>> ")) {
			return fmt.Errorf("%s:%d: a merge conflict is not resolved. Resolve it, or run the package manager's install, and commit the file", name, i+1)
		}
	}
	return nil
}

// sent returns a function that reports whether a file is sent. A file behind a link counts if the link is sent.
func (o *options) sent() func(string) bool {
	return func(name string) bool {
		for at := name; at != "."; at = path.Dir(at) {
			i, found := slices.BinarySearchFunc(o.project.Files, at, func(f source.File, name string) int { return strings.Compare(f.Path, name) })
			if found && (at == name || o.project.Files[i].Link != "") {
				return true
			}
		}
		return false
	}
}
