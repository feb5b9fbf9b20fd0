package workspace

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Manager is a package manager.
type Manager string

// The package managers.
const (
	NPM  Manager = "npm"
	Yarn Manager = "yarn"
	PNPM Manager = "pnpm"
	Bun  Manager = "bun"
)

// lockFiles are in the order in which Expo looks for them (resolvePackageManager of @expo/package-manager).
var lockFiles = []struct { //nolint:gochecknoglobals // a table
	name    string
	manager Manager
}{
	{"bun.lock", Bun}, {"bun.lockb", Bun}, {"yarn.lock", Yarn}, {"package-lock.json", NPM}, {"npm-shrinkwrap.json", NPM}, {"pnpm-lock.yaml", PNPM},
}

// Install says how the packages of an app are installed.
type Install struct {
	Manager Manager
	// Version is that of the field packageManager, and empty without one: "9.1.0".
	Version string
	// Dir is where it runs, a slash path: the root of the workspace, or the app.
	Dir string
	// LockFile is the one that the manager reads, a slash path; empty if there is none.
	LockFile string
	// Warnings for people.
	Warnings []string
}

// managerField is corepack's syntax: name@version, and a hash that corepack checks.
var managerField = regexp.MustCompile(`^(npm|yarn|pnpm|bun)@([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.-]*)(?:\+[A-Za-z0-9.]+)?$`)

// InstallOf returns how the app in dir is installed: in its workspace, or in dir. The field packageManager of package.json decides, else the
// lock file. tree is as for Find.
func InstallOf(tree fs.FS, dir string) (Install, error) {
	w, ok, err := Find(tree, dir)
	if err != nil {
		return Install{}, err
	}
	in := Install{Dir: dir}
	if ok {
		in.Dir = w.Dir
	}
	p, err := ReadPackage(tree, in.Dir)
	if err != nil && (!ok || w.File == "package.json") { // pnpm needs none at its root
		return Install{}, err
	}
	locks := locksIn(tree, in.Dir)
	in.choose(p.PackageManager, locks)
	if ok && w.File == "pnpm-workspace.yaml" && in.Manager != PNPM && p.PackageManager == "" {
		in.Manager, in.LockFile = PNPM, ""
	}
	if in.LockFile == "" {
		in.findLock(locks)
	}
	in.warn(locks)
	return in, nil
}

// locksIn returns the lock files in dir, in the order of the table.
func locksIn(tree fs.FS, dir string) (names []string) {
	for _, l := range lockFiles {
		if isFile(tree, path.Join(dir, l.name)) {
			names = append(names, l.name)
		}
	}
	return names
}

func managerOf(lock string) Manager {
	i := slices.IndexFunc(lockFiles, func(l struct {
		name    string
		manager Manager
	}) bool {
		return l.name == lock
	})
	return lockFiles[i].manager
}

func (in *Install) choose(field string, locks []string) {
	in.Manager = NPM
	if len(locks) > 0 {
		in.Manager = managerOf(locks[0])
	}
	if field == "" {
		return
	}
	m := managerField.FindStringSubmatch(field)
	if m == nil {
		in.Warnings = append(in.Warnings, fmt.Sprintf("packageManager %.60q of package.json is not name@version (such as pnpm@9.1.0) and is ignored", field))
		return
	}
	in.Manager, in.Version = Manager(m[1]), m[2]
}

func (in *Install) findLock(locks []string) {
	for _, name := range locks {
		if managerOf(name) == in.Manager {
			in.LockFile = path.Join(in.Dir, name)
			return
		}
	}
}

func (in *Install) warn(locks []string) {
	others := slices.DeleteFunc(slices.Clone(locks), func(name string) bool { return managerOf(name) == in.Manager })
	switch {
	case len(others) > 0 && in.LockFile == "":
		in.Warnings = append(in.Warnings, fmt.Sprintf("package.json asks for %s, whose lock file is missing; %s is of another package manager and is not used",
			in.Manager, strings.Join(others, " and ")))
	case len(others) > 0:
		in.Warnings = append(in.Warnings, fmt.Sprintf("several lock files: %s is used with %s; delete %s",
			path.Base(in.LockFile), in.Manager, strings.Join(others, " and ")))
	case in.LockFile == "":
		in.Warnings = append(in.Warnings, fmt.Sprintf("no lock file: the versions installed may differ from build to build; commit %s", in.Manager.lockName()))
	}
}

// lockName is the lock file that the manager writes today.
func (m Manager) lockName() string {
	switch m {
	case Yarn:
		return "yarn.lock"
	case PNPM:
		return "pnpm-lock.yaml"
	case Bun:
		return "bun.lock"
	default:
		return "package-lock.json"
	}
}

// Command returns the line that installs exactly what the lock file says or fails, and without one what fits.
func (in Install) Command(tree fs.FS) string {
	frozen := in.LockFile != ""
	switch in.Manager {
	case PNPM:
		return flag("pnpm install", "--frozen-lockfile", frozen, "--no-frozen-lockfile")
	case Bun:
		// Bun links files of its store by default. A build that changes a package would change it for later ones.
		return flag("bun install", "--frozen-lockfile", frozen, "") + " --backend=copyfile"
	case Yarn:
		if in.modernYarn(tree) {
			return flag("yarn install", "--immutable", frozen, "--no-immutable")
		}
		return flag("yarn install", "--frozen-lockfile", frozen, "") + " --production=false"
	default:
		if frozen {
			return "npm ci --include=dev"
		}
		return "npm install --include=dev"
	}
}

func flag(command, yes string, frozen bool, no string) string {
	if !frozen {
		yes = no
	}
	return strings.TrimSpace(command + " " + yes)
}

// Versions returns the range of the manager's versions that read its lock file, as npm writes it; empty: any.
func (in Install) Versions(tree fs.FS) string {
	switch in.Manager {
	case Yarn:
		if in.modernYarn(tree) {
			return ">=2"
		}
		return "1"
	case PNPM:
		return in.pnpmVersions(tree)
	default:
		return ""
	}
}

// lockfileVersion is at the head of pnpm-lock.yaml.
var lockfileVersion = regexp.MustCompile(`(?m)^lockfileVersion: *['"]?([0-9]+)`)

// pnpmVersions goes by the format of the lock file (https://github.com/pnpm/spec/tree/master/lockfile).
func (in Install) pnpmVersions(tree fs.FS) string {
	data, err := readFile(tree, in.LockFile)
	if err != nil {
		return ""
	}
	m := lockfileVersion.FindSubmatch(data[:min(len(data), 4096)])
	if m == nil {
		return ""
	}
	switch string(m[1]) {
	case "5":
		return "7"
	case "6":
		return "8"
	default:
		return ">=9"
	}
}

// modernYarn says that Yarn is of version 2 or later, which writes another kind of lock file and names its flags otherwise.
func (in Install) modernYarn(tree fs.FS) bool {
	if in.Version != "" {
		return !strings.HasPrefix(in.Version, "1.")
	}
	if in.LockFile == "" {
		return isFile(tree, path.Join(in.Dir, ".yarnrc.yml"))
	}
	data, err := readFile(tree, in.LockFile)
	return err == nil && strings.Contains(string(data[:min(len(data), 4096)]), "__metadata:")
}
