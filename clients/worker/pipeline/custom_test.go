package pipeline_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/custom"
)

// stepsOf returns the stages of a custom build as "name: command". Its steps are separated by bars.
func stepsOf(t *testing.T, platform build.Platform, tools pipeline.Toolchain, profile, steps string, more ...string) (all []string, err error) {
	t.Helper()
	dir := project(t, append(more, "package.json", `{"name": "my-app", "dependencies": {"expo": "57.0.0"}, "scripts": {"eas-build-post-install": "x"}}`,
		"package-lock.json", "{}", "eas.json", `{"build": {"p": {"config": "c.yml"`+profile+`}}}`, ".eas/build/c.yml", "build:\n  steps:\n    - "+strings.ReplaceAll(steps, " | ", "\n    - ")+"\n")...)
	plan, err := load(dir, platform, "p", tools)
	if err != nil {
		return nil, err
	}
	for _, s := range plan.Custom.Steps {
		r, err := s.Render(custom.Context{Env: map[string]string{"TASK": ":app:x"}})
		if err != nil {
			return nil, err
		}
		what := s.Of(r).Run
		if s.Upload != nil {
			what = s.Upload.Base + " " + s.Upload.Pattern
		}
		all = append(all, s.Stage.Name+": "+what)
	}
	return all, nil
}

func TestStepsOfCustomBuilds(t *testing.T) {
	t.Parallel()
	gradle := "cd android && chmod +x gradlew && ./gradlew --no-daemon "
	xcode := "workspace=$(ls -d ios/*.xcworkspace | head -n 1)\nxcodebuild -workspace \"$workspace\" -scheme \"$(basename \"$workspace\" .xcworkspace)\" " +
		"-configuration 'Release' CODE_SIGNING_ALLOWED=NO \\\n  -destination 'generic/platform=iOS Simulator' -derivedDataPath ios/build build"
	for name, tt := range map[string]struct {
		platform       build.Platform
		profile, steps string
		want           []string
	}{
		"android": {
			build.Android, `,"channel":"beta"`,
			"eas/checkout | eas/install_node_modules | eas/prebuild: {inputs: {clean: true}} | eas/configure_eas_update | eas/run_gradle | " +
				"eas/run_gradle: {inputs: {command: '${ eas.env.TASK }'}} | eas/find_and_upload_build_artifacts",
			[]string{
				"install: npm ci --include=dev", "prebuild: npx expo prebuild --no-install --platform android --clean",
				`configure-updates: set the channel "beta"`, "compile: " + gradle + ":app:bundleRelease", "compile-2: " + gradle + ":app:x",
				"find-artifacts: . android/app/build/outputs/**/*.{apk,aab}",
			},
		},
		"ios for the simulator": {
			build.IOS, `,"ios":{"simulator":true}`,
			"eas/prebuild | eas/install_pods: {working_directory: ./ios} | eas/generate_gymfile_from_template | eas/run_fastlane | eas/find_and_upload_build_artifacts",
			[]string{
				"prebuild: npx expo prebuild --no-install --platform ios", "pods: pod install", "archive: " + xcode,
				"find-artifacts: . ios/build/Build/Products/*-iphonesimulator/*.app",
			},
		},
		"without credentials": {
			build.Android, `,"withoutCredentials":true,"android":{"gradleCommand":":app:y"}`, "eas/inject_android_credentials | eas/run_gradle",
			[]string{"compile: " + gradle + ":app:y"},
		},
		"names": {
			build.Android, "", "run: 'true' | run: {name: upload, command: a} | run: {id: x, command: b} | run: {name: x, command: c} | run: '...'",
			[]string{"true: true", "step-upload: a", "x: b", "x-2: c", "step: ..."},
		},
		"all": {
			build.Android, "", "eas/build",
			[]string{
				"install: npm ci --include=dev", "prebuild: npx expo prebuild --no-install --platform android", "compile: " + gradle + ":app:bundleRelease",
				"find-artifacts: . android/app/build/outputs/**/*.{apk,aab}",
			},
		},
	} {
		got, err := stepsOf(t, tt.platform, pipeline.Toolchain{AndroidSDK: true}, tt.profile, tt.steps)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestFaultyCustomBuilds(t *testing.T) {
	t.Parallel()
	for steps, want := range map[string]string{
		"{run: {working_directory: ../x, command: a}}": "leads out of the source",
		"eas/maestro_test": "eas/maestro_test is not supported",
	} {
		_, err := stepsOf(t, build.Android, pipeline.Toolchain{}, "", steps)
		if !errors.Is(err, pipeline.ErrProject) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", steps, err, want)
		}
	}
}

// TestChannel: a build of an app with expo-updates sets the channel before it compiles.
func TestChannel(t *testing.T) {
	t.Parallel()
	for _, platform := range []build.Platform{build.Android, build.IOS} {
		dir := project(t, "package.json", `{"name": "a", "dependencies": {"expo": "57.0.0", "expo-updates": "57.0.0"}}`, "eas.json", `{"build": {"p": {"channel": "beta"}, "q": {}}}`)
		tools := pipeline.Toolchain{AndroidSDK: true, Xcode: true}
		plan, err := load(dir, platform, "p", tools)
		if err != nil {
			t.Fatal(err)
		}
		n := len(plan.Stages)
		if s := plan.Stages[n-2]; s.Name != "configure-updates" || s.Edit == nil {
			t.Errorf("%s: %+v", platform, plan.Stages)
		}
		if plan, err = load(dir, platform, "q", tools); err != nil || len(plan.Stages) != n-1 {
			t.Errorf("%s without a channel: %+v, %v", platform, plan.Stages, err)
		}
	}
}
