//go:build linux || darwin

package worker_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// TestBuildNumberIsInTheApp: what Gradle sees has the build's number. The machine looks as if it had an Android SDK, and the project's
// gradlew delivers the build file as the app.
func TestBuildNumberIsInTheApp(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]string{"built in": "", "custom": "build: {steps: [eas/build]}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			dir, sdk := t.TempDir(), t.TempDir()
			must(t, os.Mkdir(filepath.Join(sdk, "platforms"), 0o700))
			e, err := shell.New(t.Context(), shell.Config{
				Dir: dir, Log: slog.New(slog.DiscardHandler),
				Environ: []string{"PATH=" + os.Getenv("PATH"), "npm_config_registry=http://127.0.0.1:9/", "ANDROID_HOME=" + sdk},
			})
			must(t, err)
			f.start(e, nil)
			files := []string{
				"package.json", `{"name":"shop","version":"1.0.0","dependencies":{"react-native":"file:rn"}}`,
				"rn/package.json", `{"name":"react-native","version":"1.0.0"}`,
				"package-lock.json", `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0",` +
					`"dependencies":{"react-native":"file:rn"}},"node_modules/react-native":{"resolved":"rn","link":true},"rn":{"name":"react-native","version":"1.0.0"}}}`,
				"android/app/build.gradle", "android {\n    defaultConfig {\n        versionCode 1\n    }\n}\n",
				"android/gradlew", "#!/bin/sh\ncat app/build.gradle\necho \"code $EAS_BUILD_ANDROID_VERSION_CODE\"\n" +
					"mkdir -p app/build/outputs/apk\ncp app/build.gradle app/build/outputs/apk/app.apk\n",
			}
			if steps != "" {
				files = append(files, "eas.json", `{"build":{"production":{"config":"main.yml"}}}`, ".eas/build/main.yml", steps)
			}
			id := f.submitWith(project(t, files...), func(b *schedulerv1.Build) { b.Settings = &schedulerv1.BuildSettings{BuildNumber: "42"} })
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
				t.Fatalf("finish = %v; log:\n%s", got, log)
			}
			for _, want := range []string{"versionCode 42", "code 42", "android/app/build.gradle: versionCode 42"} {
				if !strings.Contains(log, want) {
					t.Errorf("the log has no %q:\n%s", want, log)
				}
			}
			if strings.Contains(log, "versionCode 1\n") {
				t.Errorf("Gradle saw the old number:\n%s", log)
			}
		})
	}
}
