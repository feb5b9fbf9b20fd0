package buildcache

import (
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// bundleFiles of an app have settings that Metro's cache does not notice.
var bundleFiles = []string{ //nolint:gochecknoglobals // a table
	"package.json", "freeagent.json", "app.json", "app.config.js", "app.config.ts", "app.config.json", "babel.config.js", "babel.config.cjs", "babel.config.json", ".babelrc",
	".babelrc.js", ".babelrc.json", "metro.config.js", "metro.config.cjs", "metro.config.json", "tsconfig.json", "jsconfig.json",
	".env", ".env.local", ".env.production", ".env.production.local", ".env.development", ".env.development.local",
}

// inlines are packages that put variables or files into JavaScript while it is transformed, behind Metro's back.
var inlines = regexp.MustCompile(`dotenv|inline-env|inline-environment|inline-import|transform-define|preval|codegen\.macro|babel-plugin-macros`)

// transformFiles are those of bundleFiles that are programs or settings of the transform.
var transformFiles = regexp.MustCompile(`^(babel\.config|\.babelrc|metro\.config)`)

// reads are signs that a configuration reads more than itself: files, variables, or the output of commands.
var reads = regexp.MustCompile(`process\.env|process\[|\bfs\b|child_process|exec(File)?Sync|spawnSync`)

// relative are paths of files in a configuration: plugins of the project itself, or what it requires.
var relative = regexp.MustCompile("[\"'`](\\.{1,2}/[^\"'`]*)[\"'`]")

// BundleKey returns the key of Metro's cache for the app in dir. Metro checks each file itself; the key has what it does not check: the
// variables and the configuration that transforms read. If that reads files, variables or packages of the project, the key has the whole source
// and the build's own facts: nobody can say what goes into the bundle. whyNot says why the cache cannot be kept.
func BundleKey(tree fs.FS, dir, installKey string, facts Facts) (key, whyNot string, err error) {
	data, err := fs.ReadFile(tree, path.Join(dir, "package.json"))
	if err != nil {
		return "", "there is no package.json", nil //nolint:nilerr // an app of another kind
	}
	var p struct {
		Dependencies    map[string]json.RawMessage `json:"dependencies"`
		DevDependencies map[string]json.RawMessage `json:"devDependencies"`
		Babel           json.RawMessage            `json:"babel"`
	}
	if err := jsonfile.Unmarshal("package.json", data, &p); err != nil {
		return "", "package.json cannot be read", nil //nolint:nilerr // the tools will say so
	}
	for _, deps := range []map[string]json.RawMessage{p.Dependencies, p.DevDependencies} {
		for name := range deps {
			if inlines.MatchString(name) {
				return "", name + " puts variables or files into the bundle", nil
			}
		}
	}
	k := newKeyer(tree, "bundle")
	k.text(facts.Machine...)
	k.text(installKey, dir)
	k.env(facts.Env)
	whole := readsMore(tree, dir, string(p.Babel))
	for _, name := range bundleFiles {
		k.file(path.Join(dir, name))
		if text, err := fs.ReadFile(tree, path.Join(dir, name)); err == nil && transformFiles.MatchString(name) {
			whole = whole || readsMore(tree, dir, string(text))
		}
	}
	k.all(path.Join(dir, ".eas")) // commands of a custom build may set variables
	if whole {
		k.all(".")
		k.text(facts.Build...)
	}
	key, err = k.sum()
	return key, "", err
}

// readsMore reports whether a configuration of Babel or Metro reads more of the project than itself.
func readsMore(tree fs.FS, dir, config string) bool {
	if reads.MatchString(config) {
		return true
	}
	for _, m := range relative.FindAllStringSubmatch(config, -1) {
		if isFile(tree, path.Join(dir, m[1])) {
			return true
		}
	}
	w, ok, err := workspace.Find(tree, dir)
	if err != nil || !ok {
		return err != nil
	}
	members, err := w.Packages()
	if err != nil {
		return true
	}
	for _, m := range members {
		p, err := workspace.ReadPackage(tree, path.Join(w.Dir, m))
		if err != nil {
			return true
		}
		if p.Name != "" && names(config, p.Name) {
			return true
		}
	}
	return false
}

// quoted are the strings of a configuration.
var quoted = regexp.MustCompile("[\"'`]([^\"'`]+)[\"'`]")

// names reports whether a configuration names a package, in full or in one of the short forms that Babel knows.
func names(config, name string) bool {
	short := strings.NewReplacer("babel-plugin-", "", "babel-preset-", "", "/babel-plugin", "", "/babel-preset", "").Replace(name)
	for _, m := range quoted.FindAllStringSubmatch(config, -1) {
		if s := strings.TrimPrefix(m[1], "module:"); s == name || s == short || strings.HasPrefix(s, name+"/") {
			return true
		}
	}
	return false
}

// isFile reports whether a path that a program requires is a file, or a directory with a program.
func isFile(tree fs.FS, name string) bool {
	for _, suffix := range []string{"", ".js", ".cjs", ".mjs", ".ts", ".json", "/index.js", "/index.cjs", "/index.ts"} {
		if info, err := fs.Stat(tree, name+suffix); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}
