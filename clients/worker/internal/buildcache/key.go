package buildcache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// version of the format of snapshots and keys.
const version = "1"

// keyer collects what a key depends on.
type keyer struct {
	tree fs.FS
	h    hash.Hash
	err  error
}

func newKeyer(tree fs.FS, kind string) *keyer {
	k := &keyer{tree: tree, h: sha256.New()}
	k.text(version, kind)
	return k
}

func (k *keyer) text(parts ...string) {
	for _, p := range parts {
		fmt.Fprintf(k.h, "%d:%s", len(p), p)
	}
}

func (k *keyer) env(env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		k.text(name, env[name])
	}
}

// file adds a file, or that there is none.
func (k *keyer) file(name string) {
	f, err := k.tree.Open(name)
	if err != nil {
		k.text(name, "none")
		if !errors.Is(err, fs.ErrNotExist) {
			k.err = errors.Join(k.err, err)
		}
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		k.text(name, "directory")
		return
	}
	content := sha256.New()
	if err == nil {
		_, err = io.Copy(content, f)
	}
	k.err = errors.Join(k.err, err)
	k.text(name, hex.EncodeToString(content.Sum(nil)))
}

// all adds every file below a directory, without node_modules.
func (k *keyer) all(dir string) {
	err := fs.WalkDir(k.tree, dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return fs.SkipDir
		case d.Type()&fs.ModeSymlink != 0:
			k.text(name, "link")
			if target, err := fs.ReadLink(k.tree, name); err == nil {
				k.text(target)
			}
		case d.Type().IsRegular():
			k.file(name)
		}
		return nil
	})
	k.err = errors.Join(k.err, err)
}

func (k *keyer) sum() (string, error) { return hex.EncodeToString(k.h.Sum(nil))[:32], k.err }

// Facts are what an install depends on beside the source.
type Facts struct {
	// Machine has the platform, the tools and their versions, and the profile; Command is what installs.
	Machine []string
	Command string
	// Build has the commit, the build number and the like, which scripts of the project may read.
	Build []string
	// Env are the variables of the profile.
	Env map[string]string
}

// rootFiles configure a package manager, at the root of the workspace.
var rootFiles = []string{ //nolint:gochecknoglobals // a table
	".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", ".pnpmfile.mjs", "pnpm-workspace.yaml", "bunfig.toml", ".nvmrc", ".node-version",
}

// rootDirs are read by installs.
var rootDirs = []string{"patches", ".yarn/patches", ".yarn/plugins", ".yarn/releases"} //nolint:gochecknoglobals // a table

// InstallKey returns the key of what an install makes: of the lock file, every package.json of the workspace, the configuration of the package
// manager, patches, and the facts. If scripts of the project run in the install, or packages come from its directories, it is of the whole
// source. whyNot says why an install cannot be kept.
func InstallKey(tree fs.FS, in workspace.Install, facts Facts) (key, whyNot string, err error) {
	if in.LockFile == "" {
		return "", "there is no lock file", nil
	}
	packages := []string{in.Dir}
	if w, ok, err := workspace.Find(tree, in.Dir); err != nil {
		return "", "", err
	} else if ok {
		members, err := w.Packages()
		if err != nil {
			return "", "", err
		}
		for _, m := range members {
			packages = append(packages, path.Join(w.Dir, m))
		}
	}
	k := newKeyer(tree, "install")
	k.text(facts.Machine...)
	k.text(facts.Command, in.Dir)
	k.env(facts.Env)
	k.file(in.LockFile)
	whole := false
	for _, dir := range packages {
		k.file(path.Join(dir, "package.json"))
		k.all(path.Join(dir, "patches"))
		whole = whole || readsSource(tree, dir)
	}
	for _, name := range rootFiles {
		k.file(path.Join(in.Dir, name))
	}
	for _, name := range rootDirs {
		k.all(path.Join(in.Dir, name))
	}
	if whole || dependenciesRead(tree, in.LockFile) {
		k.all(".")
		k.text(facts.Build...)
	}
	key, err = k.sum()
	return key, "", err
}

// quiet are packages whose install scripts are known to read nothing of the project: they fetch or check a program of their own.
var quiet = regexp.MustCompile(`^(@esbuild/.*|esbuild|fsevents|core-js(-pure|-bundle)?|unrs-resolver|@swc/core|sharp|bufferutil|utf-8-validate|protobufjs|@parcel/watcher|` +
	`@sentry/cli|dtrace-provider|es5-ext|napi-postinstall|better-sqlite3|canvas|@firebase/util|cpu-features|ssh2|re2|lmdb|msgpackr-extract|oxc-resolver)$`)

// curious are packages whose install scripts read files of the project, for lock files that do not say which packages have scripts.
var curious = regexp.MustCompile(`(?m)^\s*["'/]?(@prisma/client|prisma|msw|nx|@nestjs/core|puppeteer|husky|simple-git-hooks)["']?[@:]`)

// dependenciesRead reports whether install scripts of packages may read files of the project, as that of @prisma/client does.
func dependenciesRead(tree fs.FS, lockFile string) bool {
	data, err := fs.ReadFile(tree, lockFile)
	if err != nil {
		return true
	}
	if path.Base(lockFile) != "package-lock.json" && path.Base(lockFile) != "npm-shrinkwrap.json" {
		return curious.Match(data)
	}
	var lock struct {
		Packages map[string]struct {
			HasInstallScript bool `json:"hasInstallScript"`
		} `json:"packages"`
	}
	if json.Unmarshal(data, &lock) != nil || lock.Packages == nil {
		return curious.Match(data)
	}
	for at, p := range lock.Packages {
		i := strings.LastIndex(at, "node_modules/")
		if p.HasInstallScript && i >= 0 && !quiet.MatchString(at[i+len("node_modules/"):]) {
			return true
		}
	}
	return false
}

// harmless are scripts that read nothing of the source but what the key has.
var harmless = regexp.MustCompile(`^(npx )?(patch-package|husky( install)?|lefthook install|simple-git-hooks|expo-yarn-workspaces postinstall)( \|\| (true|exit 0))?$`)

// readsSource reports whether the install of a package may read any file of the source: by a script, or as a dependency.
func readsSource(tree fs.FS, dir string) bool {
	p, err := workspace.ReadPackage(tree, dir)
	if err != nil {
		return true
	}
	for _, name := range []string{"preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare", "prepublish", "dependencies"} {
		if s := strings.TrimSpace(p.Scripts[name]); s != "" && !harmless.MatchString(s) {
			return true
		}
	}
	local := func(versions map[string]string) bool {
		for _, v := range versions {
			if strings.HasPrefix(v, "file:") || strings.HasPrefix(v, "link:") || strings.HasPrefix(v, "portal:") {
				return true
			}
		}
		return false
	}
	return local(p.Dependencies) || local(p.DevDependencies)
}

// PathsKey returns the key of paths that a profile names with a key of its own.
func PathsKey(key string, paths []string) string {
	return hashOf(append([]string{version, "paths", key}, paths...)...)
}

func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
