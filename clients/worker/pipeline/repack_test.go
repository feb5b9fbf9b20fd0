package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestRepack: install and one stage in place of a native build, argument for argument, whatever stages the project has.
func TestRepack(t *testing.T) {
	t.Parallel()
	tools := pipeline.Toolchain{BuildTools: "/sdk/it's/35.0.0", Java: true, Zip: true, AndroidSDK: true, Xcode: true}
	const start = "mkdir -p .freeagent-repack\n"
	const head = `npx --yes @expo/repack-app@0.9.0 --platform `
	const middle = ` --js-bundle-only --embed-bundle-assets --source-app "$FREEAGENT_REPACK_SOURCE" --working-directory "$FREEAGENT_REPACK_WORK" --output "$PWD"/`
	for name, files := range map[string][]string{
		"built in":   nil,
		"own stages": {"freeagent.json", `{"profiles":{"production":{"result":"x.apk","stages":[{"name":"make","run":"exit 1"}]}}}`},
		"hooks":      nil,
	} {
		pkg, want := expoPackage, []string{"install", "repack"}
		if name == "hooks" {
			pkg = `{"dependencies":{"expo":"57.0.0"},"scripts":{"eas-build-pre-install":"a","eas-build-post-install":"b","eas-build-on-success":"c"}}`
			want = []string{"pre-install", "install", "post-install", "repack"}
		}
		dir := project(t, append(files, "package.json", pkg, "package-lock.json", "{}")...)
		for platform, command := range map[build.Platform]string{
			build.Android: start + `if [ -n "${JAVA_HOME:-}" ]; then PATH="$JAVA_HOME/bin:$PATH"; fi` + "\n" +
				head + "android" + middle + `'.freeagent-repack/my app.apk' --android-build-tools-dir '/sdk/it'\''s/35.0.0'`,
			build.IOS: start + head + "ios" + middle + `'.freeagent-repack/my app.apk'`,
		} {
			plan, err := pipeline.Load(dir, pipeline.Request{Platform: platform, RepackName: "my app.apk", Tools: tools})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range plan.Stages {
				got = append(got, s.Name)
			}
			last := plan.Stages[len(plan.Stages)-1]
			if diff := cmp.Diff(want, got) + cmp.Diff(command, last.Run) + cmp.Diff(map[string]string{"NODE_ENV": "production"}, last.Env); diff != "" {
				t.Errorf("%s, %s: %s", name, platform, diff)
			}
			if plan.Result != ".freeagent-repack/my app.apk" || !plan.Fingerprint || plan.Repackable || plan.Install == nil {
				t.Errorf("%s, %s: plan = %+v", name, platform, plan)
			}
		}
	}
}

// TestRepackRefused: what cannot be repacked is the project's fault, a missing tool the machine's.
func TestRepackRefused(t *testing.T) {
	t.Parallel()
	all := pipeline.Toolchain{BuildTools: "/sdk", Java: true, Zip: true}
	for name, tt := range map[string]struct {
		files    []string
		platform build.Platform
		tools    pipeline.Toolchain
		mine     bool
		text     string
	}{
		"no expo":              {[]string{"package.json", `{"dependencies":{"react-native":"1"}}`}, build.Android, all, true, `depend on "expo"`},
		"a development client": {[]string{"package.json", expoPackage, "eas.json", `{"build":{"production":{"developmentClient":true}}}`}, build.Android, all, true, "--reuse"},
		"no build-tools":       {[]string{"package.json", expoPackage}, build.Android, pipeline.Toolchain{Java: true, Zip: true}, false, "sdkmanager"},
		"no java":              {[]string{"package.json", expoPackage}, build.Android, pipeline.Toolchain{BuildTools: "/sdk", Zip: true}, false, "Install a JDK"},
		"no zip":               {[]string{"package.json", expoPackage}, build.IOS, pipeline.Toolchain{BuildTools: "/sdk", Java: true}, false, "zip and unzip"},
	} {
		_, err := pipeline.Load(project(t, tt.files...), pipeline.Request{Platform: tt.platform, RepackName: "a.apk", Tools: tt.tools})
		if err == nil || errors.Is(err, pipeline.ErrProject) != tt.mine || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want the project's: %v, with %q", name, err, tt.mine, tt.text)
		}
	}
}

// TestRepackTools: of the SDK's build-tools the newest that has apksigner, else what is on the PATH.
func TestRepackTools(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := func(name string) {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("#!/bin/sh\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sdk/build-tools/9.0.0/apksigner", "sdk/build-tools/35.0.0/apksigner", "sdk/build-tools/35.0.0-rc1/apksigner", "sdk/build-tools/36.0.0/aapt2", "bin/apksigner", "bin/zip", "bin/unzip", "jdk/bin/java"} {
		program(name)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want pipeline.Toolchain
	}{
		"nothing": {nil, pipeline.Toolchain{}},
		"SDK":     {map[string]string{"ANDROID_HOME": "sdk", "PATH": "bin", "JAVA_HOME": "jdk"}, pipeline.Toolchain{BuildTools: "sdk/build-tools/35.0.0", Java: true, Zip: true}},
		"older":   {map[string]string{"ANDROID_SDK_ROOT": "sdk"}, pipeline.Toolchain{BuildTools: "sdk/build-tools/35.0.0"}},
		"PATH":    {map[string]string{"PATH": "bin"}, pipeline.Toolchain{BuildTools: "bin", Zip: true}},
	} {
		got := pipeline.Detect(func(k string) string {
			if tt.env[k] == "" {
				return ""
			}
			return filepath.Join(dir, tt.env[k])
		})
		if tt.want.BuildTools != "" {
			tt.want.BuildTools = filepath.Join(dir, tt.want.BuildTools)
		}
		if got.BuildTools != tt.want.BuildTools || got.Java != tt.want.Java || got.Zip != tt.want.Zip {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
