package pipeline_test

import (
	"errors"
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
		"bun":          {[]string{"bun.lock", ""}, "bun install --frozen-lockfile", false},
		"none":         {nil, "npm install --include=dev", true},
	} {
		dir := project(t, append(tt.files, "package.json", expoPackage)...)
		got, err := pipeline.Load(dir, build.Android, "", pipeline.Toolchain{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := []pipeline.Stage{{Name: "install", Run: tt.install}, {Name: "export", Run: "npx expo export --platform android --output-dir dist"}}
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
		plan, err := pipeline.Load(dir, platform, "production", tools)
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
	got, err := pipeline.Load(dir, build.IOS, "preview", pipeline.Toolchain{})
	if err != nil {
		t.Fatal(err)
	}
	want := pipeline.Plan{
		Root: filepath.Join(dir, "wrapped"), Profile: "preview", Env: map[string]string{"A": "1", "B": "2"}, Name: "app-ios",
		Result: "out/*.zip", Stages: []pipeline.Stage{{Name: "make", Run: "make zip"}}, Shell: pipeline.BashIfPresent,
		Timeout: 45 * time.Minute, HeartbeatTimeouts: map[string]time.Duration{"make": 2 * time.Minute, "pods": 20 * time.Minute},
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
		"two objects":     {"", `{} {}`, "something follows"},
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
		_, err := pipeline.Load(dir, build.Android, tt.profile, pipeline.Toolchain{})
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
		"broken":           {[]string{"package.json", `{`}, "", "not valid JSON"},
		"profile, no file": {[]string{"package.json", expoPackage}, "preview", "no freeagent.json"},
	} {
		_, err := pipeline.Load(project(t, tt.files...), build.Android, tt.profile, pipeline.Toolchain{})
		if !errors.Is(err, pipeline.ErrProject) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Load = %v, want ErrProject with %q", name, err, tt.want)
		}
	}
}

func TestLinksOutOfTheProjectAreNotRead(t *testing.T) {
	t.Parallel()
	outside := project(t, "freeagent.json", `{"profiles": {}}`)
	dir := project(t, "package.json", expoPackage)
	if err := os.Symlink(filepath.Join(outside, "freeagent.json"), filepath.Join(dir, "freeagent.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.Load(dir, build.Android, "", pipeline.Toolchain{}); err == nil {
		t.Error("Load followed a link out of the project")
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	dir := project(t, "a/b/c/x.apk", "", "a/y.apk", "", "a/y.txt", "", "z.apk", "", "dist/index.html", "")
	if err := os.Symlink("/etc", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string][]string{
		"a/**/*.apk": {"a/b/c/x.apk", "a/y.apk"}, "**/*.apk": {"a/b/c/x.apk", "a/y.apk", "z.apk"}, "*.apk": {"z.apk"},
		"dist": {"dist"}, "d*": {"dist"}, "nothing": nil, "no/**/thing": nil, "etc": nil, "etc/passwd": nil, "./dist/": {"dist"},
	} {
		got, err := pipeline.Match(dir, pattern)
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
		got, err := pipeline.Load(dir, build.IOS, "", pipeline.Toolchain{})
		if got.Shell != want || errors.Is(err, pipeline.ErrProject) != (want == "") {
			t.Errorf("%s: shell %q, %v, want %q", head, got.Shell, err, want)
		}
	}
}
