package pipeline_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// project writes files: name, content, name, content.
func project(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(dir string, platform build.Platform, profile string, tools pipeline.Toolchain) (pipeline.Plan, error) {
	return pipeline.Load(dir, pipeline.Request{Platform: platform, Profile: profile, Tools: tools})
}

const expoPackage = `{"name": "my-app", "dependencies": {"expo": "57.0.0"}}`

func TestBuiltIn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files   []string
		install string
		warned  bool
	}{
		"npm":          {[]string{"package-lock.json", "{}"}, "npm ci --include=dev", false},
		"yarn classic": {[]string{"yarn.lock", "# yarn lockfile v1"}, "yarn install --frozen-lockfile --production=false", false},
		"yarn berry":   {[]string{"yarn.lock", "__metadata:\n  version: 8"}, "yarn install --immutable", false},
		"pnpm":         {[]string{"pnpm-lock.yaml", ""}, "pnpm install --frozen-lockfile", false},
		"bun":          {[]string{"bun.lock", ""}, "bun install --frozen-lockfile --backend=copyfile", false},
		"none":         {nil, "npm install --include=dev", true},
	} {
		dir := project(t, append(tt.files, "package.json", expoPackage)...)
		got, err := load(dir, build.Android, "", pipeline.Toolchain{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := []pipeline.Stage{{Name: "install", Run: tt.install, Dir: "."}, {Name: "export", Run: "npx expo export --platform android --output-dir dist"}}
		if diff := cmp.Diff(want, got.Stages); diff != "" || got.Result != "dist" || got.Name != "my-app-android" {
			t.Errorf("%s: result %q, name %q, stages %s", name, got.Result, got.Name, diff)
		}
		if (len(got.Warnings) > 0) != tt.warned {
			t.Errorf("%s: warnings = %q, want some: %v", name, got.Warnings, tt.warned)
		}
	}
}

func TestNative(t *testing.T) {
	t.Parallel()
	dir := project(t, "package.json", expoPackage, "package-lock.json", "{}", "app.json", `{"expo": {"slug": "Hello / Ünï"}}`)
	tools := pipeline.Toolchain{AndroidSDK: true, Xcode: true}
	for platform, want := range map[build.Platform][]string{
		build.Android: {"install", "prebuild", "compile"}, build.IOS: {"install", "prebuild", "pods", "archive"},
	} {
		plan, err := load(dir, platform, "production", tools)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range plan.Stages {
			got = append(got, s.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" || plan.Name != "Hello---n-"+string(platform) {
			t.Errorf("%s: name %q, stages %s", platform, plan.Name, diff)
		}
	}
}

func TestOwnStages(t *testing.T) {
	t.Parallel()
	dir := project(t, "wrapped/freeagent.json", `{"profiles": {
		"base": {"env": {"A": "1", "B": "1"}, "result": "out/*.zip", "stages": [{"name": "make", "run": "make zip"}],
			"timeouts": {"build": "45m", "silence": {"make": "90s", "pods": "20m"}}},
		"preview": {"extends": "base", "env": {"B": "2"}, "timeouts": {"silence": {"make": "2m"}}}}}`)
	got, err := load(dir, build.IOS, "preview", pipeline.Toolchain{})
	if err != nil {
		t.Fatal(err)
	}
	want := pipeline.Plan{
		Root: filepath.Join(dir, "wrapped"), App: filepath.Join(dir, "wrapped"), Profile: "preview", Env: map[string]string{"A": "1", "B": "2"}, Environment: "production", Name: "app-ios",
		Result: "out/*.zip", Stages: []pipeline.Stage{{Name: "make", Run: "make zip"}}, Shell: pipeline.BashIfPresent,
		Repackable: true, Timeout: 45 * time.Minute, HeartbeatTimeouts: map[string]time.Duration{"make": 2 * time.Minute, "pods": 20 * time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsAreNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ profile, file, want string }{
		"unknown key":     {"", `{"profile": {}}`, `unknown field "profile"`},
		"unknown in part": {"", `{"profiles": {"production": {"stage": []}}}`, `unknown field "stage"`},
		"not JSON":        {"", `{`, "freeagent.json"},
		"two objects":     {"", `{} {}`, "freeagent.json:1:4: invalid character '{' after top-level value"},
		"no such profile": {"x", `{"profiles": {"b": {}, "a": {}}}`, "a, b"},
		"circle":          {"a", `{"profiles": {"a": {"extends": "b"}, "b": {"extends": "a"}}}`, "a -> b -> a"},
		"extends nothing": {"a", `{"profiles": {"a": {"extends": "b"}}}`, `extends "b", which does not exist`},
		"too deep": {"a", `{"profiles": {"a": {"extends": "b"}, "b": {"extends": "c"}, "c": {"extends": "d"}, "d": {"extends": "e"},
			"e": {"extends": "f"}, "f": {}}}`, "more than 5 deep"},
		"no result":      {"a", `{"profiles": {"a": {"stages": [{"name": "x", "run": "y"}]}}}`, `no "result"`},
		"no stages":      {"a", `{"profiles": {"a": {"result": "dist"}}}`, "no stages"},
		"reserved":       {"a", `{"profiles": {"a": {"result": "d", "stages": [{"name": "upload", "run": "y"}]}}}`, "worker's own"},
		"bad name":       {"a", `{"profiles": {"a": {"result": "d", "stages": [{"name": "a b", "run": "y"}]}}}`, "stage 1"},
		"twice":          {"a", `{"profiles": {"a": {"result": "d", "stages": [{"name": "x", "run": "y"}, {"name": "x", "run": "y"}]}}}`, "two stages"},
		"nothing to run": {"a", `{"profiles": {"a": {"result": "d", "stages": [{"name": "x", "run": " "}]}}}`, "nothing to run"},
		"result outside": {"a", `{"profiles": {"a": {"result": "../d", "stages": [{"name": "x", "run": "y"}]}}}`, "inside the project"},
		"many stars":     {"a", `{"profiles": {"a": {"result": "**/a/**", "stages": [{"name": "x", "run": "y"}]}}}`, "more than one **"},
		"bad pattern":    {"a", `{"profiles": {"a": {"result": "[", "stages": [{"name": "x", "run": "y"}]}}}`, "not a pattern"},
		"bad env":        {"a", `{"profiles": {"a": {"env": {"A=B": ""}}}}`, "environment variable"},
		"no timeout":     {"a", `{"profiles": {"a": {"timeouts": {"build": "soon"}}}}`, "must be whole seconds"},
		"short timeout":  {"a", `{"profiles": {"a": {"timeouts": {"silence": {"pods": "100ms"}}}}}`, "must be whole seconds"},
		"no such stage":  {"a", `{"profiles": {"a": {"timeouts": {"silence": {"a b": "1m"}}}}}`, "not a stage's name"},
		"our env":        {"a", `{"profiles": {"a": {"env": {"FREEAGENT_API_KEY": ""}}}}`, "worker's own"},
	} {
		dir := project(t, "package.json", expoPackage, "freeagent.json", tt.file)
		_, err := load(dir, build.Android, tt.profile, pipeline.Toolchain{})
		if !errors.Is(err, pipeline.ErrProject) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Load = %v, want ErrProject with %q", name, err, tt.want)
		}
	}
}

func TestProjectsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files   []string
		profile string
		want    string
	}{
		"empty":            {nil, "", "no package.json"},
		"two directories":  {[]string{"a/package.json", expoPackage, "b/package.json", expoPackage}, "", "no package.json"},
		"no expo":          {[]string{"package.json", `{}`}, "", `does not depend on "expo"`},
		"broken":           {[]string{"package.json", `{`}, "", "package.json:1:2"},
		"profile, no file": {[]string{"package.json", expoPackage}, "preview", "neither eas.json nor freeagent.json"},
	} {
		_, err := load(project(t, tt.files...), build.Android, tt.profile, pipeline.Toolchain{})
		if !errors.Is(err, pipeline.ErrProject) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Load = %v, want ErrProject with %q", name, err, tt.want)
		}
	}
}

// TestAppPath: the app is found below the root, and a root that is none says where the apps are.
func TestAppPath(t *testing.T) {
	t.Parallel()
	dir := project(t, "package.json", `{"workspaces":["apps/*"]}`, "yarn.lock", "# yarn lockfile v1",
		"apps/shop/package.json", "\ufeff"+expoPackage, "apps/web/package.json", `{}`)
	plan, err := pipeline.Load(dir, pipeline.Request{Platform: build.Android, AppPath: "apps/shop"})
	if err != nil {
		t.Fatal(err)
	}
	install, export := plan.Stages[0], plan.Stages[1]
	if plan.DirOf(install) != dir || plan.DirOf(export) != filepath.Join(dir, "apps/shop") || !strings.HasPrefix(install.Run, "yarn install") {
		t.Errorf("install %q in %s, export in %s", install.Run, plan.DirOf(install), plan.DirOf(export))
	}
	for path, want := range map[string]string{"": "whose apps are apps/shop", "apps/none": "no package.json in apps/none", "apps/web": "apps/web/package.json does not depend"} {
		_, err := pipeline.Load(dir, pipeline.Request{Platform: build.Android, AppPath: path})
		if !errors.Is(err, pipeline.ErrProject) || !strings.Contains(err.Error(), want) {
			t.Errorf("app %q: %v, want %q", path, err, want)
		}
	}
	if err := os.Rename(filepath.Join(dir, "apps/shop"), filepath.Join(dir, "shop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "apps/shop")); err != nil {
		t.Fatal(err)
	}
	if app, err := plan.OpenApp(); err == nil {
		t.Error("OpenApp followed a link out of the source")
		app.Close()
	}
}

// TestProfileOfEAS: what a profile of eas.json asks for is built, as EAS builds it, and freeagent.json comes before it.
func TestProfileOfEAS(t *testing.T) {
	t.Parallel()
	const easJSON = `{
		// JSON5, as Expo reads it
		"build": {
			"base": {"env": {"API": "base", "SHARED": "1"}},
			"preview": {"extends": "base", "distribution": "internal", "env": {"API": "preview"}, "android": {"env": {"API": "android"}}},
			"production": {"extends": "base", "prebuildCommand": "prebuild --clean"},
			"development": {"developmentClient": true, "distribution": "internal", "ios": {"simulator": true}},
			"old": {"android": {"artifactPath": "out/*.aab"}},
			"own": {"android": {"gradleCommand": ":app:assembleStaging", "applicationArchivePath": "out/*.apk"}, "ios": {"scheme": "It's", "buildConfiguration": "Staging"}},
		},
	}`
	const ownJSON = `{"profiles": {"preview": {"env": {"SHARED": "own"}}}}`
	dir := project(t, "package.json", expoPackage, "package-lock.json", "{}", "eas.json", easJSON, "freeagent.json", ownJSON)
	both := pipeline.Toolchain{AndroidSDK: true, Xcode: true}
	for _, tt := range []struct {
		platform     build.Platform
		profile      string
		run, result  string // in the last stage; of the plan
		env, command string // API and SHARED; the prebuild
	}{
		{build.Android, "preview", ":app:assembleRelease", "android/app/build/outputs/**/*.{apk,aab}", "android own", "npx expo prebuild --no-install --platform android"},
		{build.Android, "", ":app:bundleRelease", "android/app/build/outputs/**/*.{apk,aab}", "base 1", "npx expo prebuild --clean --platform android"},
		{build.Android, "development", ":app:assembleDebug", "android/app/build/outputs/**/*.{apk,aab}", " ", "npx expo prebuild --no-install --platform android"},
		{build.Android, "own", ":app:assembleStaging", "out/*.apk", " ", "npx expo prebuild --no-install --platform android"},
		{build.Android, "old", ":app:bundleRelease", "out/*.aab", " ", "npx expo prebuild --no-install --platform android"},
		{build.IOS, "preview", "-archivePath build/app.xcarchive", "build/app.xcarchive", "preview own", "npx expo prebuild --no-install --platform ios"},
		{build.IOS, "development", "-configuration 'Debug'", "ios/build/Build/Products/*-iphonesimulator/*.app", " ", "npx expo prebuild --no-install --platform ios"},
		{build.IOS, "own", `-scheme 'It'\''s' -configuration 'Staging'`, "build/app.xcarchive", " ", "npx expo prebuild --no-install --platform ios"},
	} {
		plan, err := load(dir, tt.platform, tt.profile, both)
		if err != nil {
			t.Errorf("%s %s: %v", tt.platform, tt.profile, err)
			continue
		}
		last := plan.Stages[len(plan.Stages)-1]
		if env := plan.Env["API"] + " " + plan.Env["SHARED"]; !strings.Contains(last.Run, tt.run) || plan.Result != tt.result || env != tt.env || plan.Stages[1].Run != tt.command {
			t.Errorf("%s %s: env %q, result %q, stages %+v", tt.platform, tt.profile, env, plan.Result, plan.Stages)
		}
	}
	if _, err := load(dir, build.Android, "previw", both); err == nil || !strings.Contains(err.Error(), `Did you mean "preview"? There are: base, preview, production, development, old, own.`) {
		t.Errorf("an unknown profile: %v", err)
	}
}

// TestNeeds: which version of Node.js and of the package manager a project asks for, and where.
func TestNeeds(t *testing.T) {
	t.Parallel()
	const eas = `{"build":{"production":{"node":"20.18.0","pnpm":"9.1.0"},"preview":{}}}`
	for name, tt := range map[string]struct {
		files   []string
		profile string
		want    []pipeline.Need
	}{
		"nothing":       {[]string{"package-lock.json", "{}"}, "", []pipeline.Need{{Name: "node"}, {Name: "npm", From: "package-lock.json"}}},
		"eas.json":      {[]string{"eas.json", eas, ".nvmrc", "18", "pnpm-lock.yaml", ""}, "", []pipeline.Need{{Name: "node", Range: "20.18.0", From: "eas.json"}, {Name: "pnpm", Range: "9.1.0", From: "eas.json"}}},
		".nvmrc":        {[]string{"eas.json", eas, ".nvmrc", "v18.20\n", "pnpm-lock.yaml", "lockfileVersion: '6.0'"}, "preview", []pipeline.Need{{Name: "node", Range: "18.20", From: ".nvmrc"}, {Name: "pnpm", Range: "8", From: "pnpm-lock.yaml"}}},
		"a line's name": {[]string{".nvmrc", "lts/iron", "yarn.lock", ""}, "", []pipeline.Need{{Name: "node", Range: "20", From: ".nvmrc"}, {Name: "yarn", Range: "1", From: "yarn.lock"}}},
		"the newest":    {[]string{".node-version", "lts/*", "yarn.lock", "__metadata:"}, "", []pipeline.Need{{Name: "node", Range: "", From: ".node-version"}, {Name: "yarn", Range: ">=2", From: "yarn.lock"}}},
		"engines": {
			[]string{"package.json", `{"dependencies":{"expo":"57"},"engines":{"node":">=20 <23"},"packageManager":"yarn@4.1.0"}`, "yarn.lock", "__metadata:"}, "",
			[]pipeline.Need{{Name: "node", Range: ">=20 <23", From: "engines of package.json", Advice: true}, {Name: "yarn", Range: "4.1.0", From: "packageManager of package.json"}},
		},
		"stages of its own": {
			[]string{"freeagent.json", `{"profiles":{"production":{"result":"r","stages":[{"name":"x","run":"y"}]}}}`, ".nvmrc", "18", "yarn.lock", ""}, "",
			[]pipeline.Need{{Name: "node", Range: "18", From: ".nvmrc"}},
		},
	} {
		plan, err := load(project(t, append([]string{"package.json", expoPackage}, tt.files...)...), build.Android, tt.profile, pipeline.Toolchain{})
		if diff := cmp.Diff(tt.want, plan.Needs); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// TestPlainReactNative: an app without Expo is bundled by its own command line.
func TestPlainReactNative(t *testing.T) {
	t.Parallel()
	dir := project(t, "package.json", `{"dependencies":{"react-native":"0.83"},"scripts":{"eas-build-pre-install":"x"}}`, "package-lock.json", "{}", "index.ts", "")
	plan, err := pipeline.Load(dir, pipeline.Request{Platform: build.IOS})
	if err != nil {
		t.Fatal(err)
	}
	last := plan.Stages[len(plan.Stages)-1]
	if plan.Stages[0].Run != "npm run eas-build-pre-install" || !strings.Contains(last.Run, "react-native bundle --platform ios") || !strings.Contains(last.Run, "--entry-file index.ts") {
		t.Errorf("stages = %+v", plan.Stages)
	}
}

func TestLinksOutOfTheProjectAreNotRead(t *testing.T) {
	t.Parallel()
	outside := project(t, "freeagent.json", `{"profiles": {}}`)
	dir := project(t, "package.json", expoPackage)
	if err := os.Symlink(filepath.Join(outside, "freeagent.json"), filepath.Join(dir, "freeagent.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir, build.Android, "", pipeline.Toolchain{}); err == nil {
		t.Error("Load followed a link out of the project")
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	dir := project(t, "a/b/c/x.apk", "", "a/y.apk", "", "a/y.txt", "", "z.apk", "", "dist/index.html", "")
	if err := os.Symlink("/etc", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for pattern, want := range map[string][]string{
		"a/**/*.apk": {"a/b/c/x.apk", "a/y.apk"}, "**/*.apk": {"a/b/c/x.apk", "a/y.apk", "z.apk"}, "*.apk": {"z.apk"},
		"dist": {"dist"}, "d*": {"dist"}, "nothing": nil, "no/**/thing": nil, "etc": nil, "etc/passwd": nil, "./dist/": {"dist"},
	} {
		got, err := pipeline.Match(root, pattern)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Match(%q): %v %s", pattern, err, diff)
		}
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	sdk := project(t, "platforms/android-36/android.jar", "")
	if got := pipeline.Detect(func(k string) string { return map[string]string{"ANDROID_HOME": sdk}[k] }); !got.AndroidSDK {
		t.Errorf("Detect = %+v, want an Android SDK", got)
	}
	if got := pipeline.Detect(func(string) string { return "" }); got.AndroidSDK {
		t.Errorf("Detect = %+v, want no Android SDK", got)
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]pipeline.Shell{
		"": pipeline.BashIfPresent, `"version": 1,`: pipeline.BashIfPresent, `"shell": "/bin/sh -e",`: pipeline.Sh, `"version": 2,`: pipeline.Bash, `"shell": "bash -eo pipefail",`: pipeline.Bash,
		`"version": 2, "shell": "/bin/sh -e",`: pipeline.Sh, `"version": 3,`: "", `"shell": "zsh",`: "",
	} {
		dir := project(t, "freeagent.json", `{`+head+`"profiles": {"production": {"result": "r", "stages": [{"name": "x", "run": "y"}]}}}`)
		got, err := load(dir, build.IOS, "", pipeline.Toolchain{})
		if got.Shell != want || errors.Is(err, pipeline.ErrProject) != (want == "") {
			t.Errorf("%s: shell %q, %v, want %q", head, got.Shell, err, want)
		}
	}
}

// TestPipelinesWithoutBash: the default shell notices each failure of a pipeline where there is bash; elsewhere the log warns.
func TestPipelinesWithoutBash(t *testing.T) {
	t.Parallel()
	const file = `{%s "profiles": {"production": {"result": "d", "stages": [{"name": "make", "run": "xcodebuild | xcpretty"}]}}}`
	for shell, warned := range map[string][2]bool{"": {false, true}, `"shell": "/bin/sh -e",`: {true, true}, `"shell": "bash -eo pipefail",`: {false, false}} {
		for i, tools := range []pipeline.Toolchain{{Bash: true}, {}} {
			got, err := load(project(t, "package.json", "{}", "freeagent.json", fmt.Sprintf(file, shell)), build.IOS, "", tools)
			if err != nil || (len(got.Warnings) > 0) != warned[i] {
				t.Errorf("%q, bash %t: warnings %q, %v", shell, tools.Bash, got.Warnings, err)
			}
		}
	}
}
