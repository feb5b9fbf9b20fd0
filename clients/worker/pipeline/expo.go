package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// builtIn returns the pipeline of an Expo app without stages of its own.
func builtIn(plan Plan, platform build.Platform, tools Toolchain) (Plan, error) {
	plan.Shell = BashIfPresent
	pkg, err := readPackage(plan.Root)
	if err != nil {
		return Plan{}, err
	}
	if !pkg.has("expo") {
		return Plan{}, problem{fmt.Sprintf(
			`package.json does not depend on "expo": add it, or name the stages of your own in %s`, FileName)}
	}
	install, warning := installCommand(plan.Root)
	if warning != "" {
		plan.Warnings = append(plan.Warnings, warning)
	}
	plan.Stages = []Stage{{string(build.StageInstall), install}}
	if stages, result, ok := native(platform, tools); ok {
		plan.Stages, plan.Result = append(plan.Stages, stages...), result
		return plan, nil
	}
	plan.Stages = append(plan.Stages, Stage{
		string(build.StageExport), fmt.Sprintf("npx expo export --platform %s --output-dir dist", platform),
	})
	plan.Result = "dist"
	return plan, nil
}

// packageJSON is the part of package.json that we need.
type packageJSON struct {
	Name            string            `json:"name"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
}

func (p packageJSON) has(name string) bool {
	return p.Dependencies[name] != "" || p.DevDependencies[name] != ""
}

func readPackage(root string) (p packageJSON, err error) {
	data, err := read(root, "package.json")
	if errors.Is(err, fs.ErrNotExist) {
		return p, problem{"the source has no package.json: submit the directory of the Expo app itself"}
	}
	if err != nil {
		return p, fmt.Errorf("package.json: %w", err)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, problem{"package.json is not valid JSON: " + err.Error()}
	}
	return p, nil
}

// lockFiles decide the package manager, the first that is there. Frozen: a build installs what was committed, or fails.
var lockFiles = []struct{ name, run string }{ //nolint:gochecknoglobals // a table
	{"package-lock.json", "npm ci --include=dev"},
	{"npm-shrinkwrap.json", "npm ci --include=dev"},
	{"pnpm-lock.yaml", "pnpm install --frozen-lockfile"},
	{"bun.lock", "bun install --frozen-lockfile"},
	{"bun.lockb", "bun install --frozen-lockfile"},
}

func installCommand(root string) (run, warning string) {
	if isFile(filepath.Join(root, "yarn.lock")) {
		return yarn(root), ""
	}
	for _, l := range lockFiles {
		if isFile(filepath.Join(root, l.name)) {
			return l.run, ""
		}
	}
	return "npm install --include=dev", "no lock file: the versions installed may differ from build to build; commit package-lock.json"
}

// yarn of version 2 and later writes another kind of lock file, and names its flag otherwise.
func yarn(root string) string {
	data, err := read(root, "yarn.lock")
	if err == nil && strings.Contains(string(data[:min(len(data), 4096)]), "__metadata:") {
		return "yarn install --immutable"
	}
	return "yarn install --frozen-lockfile --production=false"
}

// slug returns the base name of the result: expo.slug of app.json, or the package's name.
func slug(root string) string {
	var app struct {
		Expo struct{ Slug, Name string } `json:"expo"`
	}
	if data, err := read(root, "app.json"); err == nil {
		_ = json.Unmarshal(data, &app) // the tools will say what is wrong with it
	}
	pkg, _ := readPackage(root)
	for _, s := range []string{app.Expo.Slug, app.Expo.Name, pkg.Name} {
		if s = plainName(s); s != "" {
			return s
		}
	}
	return "app"
}

// plainName turns a text into a portable file name.
func plainName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r == ' ', r == '/':
			return '-'
		}
		return -1
	}, s)
	return strings.Trim(s[:min(len(s), 80)], "-.")
}
