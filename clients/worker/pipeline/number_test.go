package pipeline_test

import (
	"slices"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// The build number is set after all that can change the native project, and only where there is one to build.
func TestBuildNumberIsSetBeforeTheNativeBuild(t *testing.T) {
	t.Parallel()
	const hooks = `{"name": "my-app", "dependencies": {"expo": "57.0.0"}, "scripts": {"eas-build-post-install": "true"}}`
	custom := []string{"eas.json", `{"build": {"production": {"config": "main.yml"}}}`, ".eas/build/main.yml", "build: {steps: [eas/build]}"}
	calls := []string{
		"eas.json", `{"build": {"production": {"config": "main.yml"}}}`,
		".eas/build/main.yml", "build: {steps: [eas/install_node_modules, eas/prebuild, eas/configure_android_version, eas/run_gradle]}",
	}
	both := pipeline.Toolchain{AndroidSDK: true, Xcode: true}
	for _, tt := range []struct {
		name, number string
		platform     build.Platform
		tools        pipeline.Toolchain
		more         []string
		before, run  string // the stage that follows, and what the log says
	}{
		{"android", "42", build.Android, both, nil, "compile", "set the versionCode 42"},
		{"ios", "1.2.3", build.IOS, both, nil, "archive", "set the buildNumber 1.2.3"},
		{"the app's own number", "", build.Android, both, nil, "", ""},
		{"a bundle", "42", build.Android, pipeline.Toolchain{}, nil, "", ""},
		{"custom", "42", build.Android, both, custom, "compile", "set the versionCode 42"},
		{"custom by functions", "42", build.Android, both, calls, "compile", "set the versionCode 42"},
		{"custom by functions, the app's own number", "", build.Android, both, calls, "", ""},
	} {
		dir := project(t, append([]string{"package.json", hooks, "package-lock.json", "{}"}, tt.more...)...)
		plan, err := pipeline.Load(dir, pipeline.Request{Platform: tt.platform, BuildNumber: tt.number, Tools: tt.tools})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		stages := plan.Stages
		if plan.Custom != nil {
			for _, s := range plan.Custom.Steps {
				stages = append(stages, s.Stage)
			}
		}
		at := slices.IndexFunc(stages, func(s pipeline.Stage) bool { return s.Name == "build-number" })
		if tt.before == "" {
			if at >= 0 {
				t.Errorf("%s: stages %+v, want none that sets the number", tt.name, stages)
			}
			continue
		}
		if at < 0 || stages[at].Edit == nil || stages[at].Run != tt.run || stages[at+1].Name != tt.before {
			t.Errorf("%s: stages %+v, want %q right before %s", tt.name, stages, tt.run, tt.before)
		}
	}
}
