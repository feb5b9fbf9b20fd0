package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

const (
	androidResult = "android/app/build/outputs/**/*.apk"
	iosResult     = "build/app.xcarchive"
)

// android builds an APK. Not run where this was developed (see the package comment).
func (p *project) android(m workspace.Manager) (stages []Stage, result string) {
	stages = append(p.prebuild(build.Android), p.hookStage("post-install", m)...)
	return append(stages, Stage{
		Name: string(build.StageCompile), Run: "chmod +x android/gradlew && ./android/gradlew -p android --no-daemon :app:assembleRelease",
	}), androidResult
}

// ios builds an unsigned archive for devices. Not run where this was developed (see the package comment).
func (p *project) ios(m workspace.Manager) (stages []Stage, result string) {
	stages = append(p.prebuild(build.IOS), Stage{Name: string(build.StagePods), Run: "cd ios && pod install"})
	stages = append(stages, p.hookStage("post-install", m)...)
	return append(stages, Stage{Name: string(build.StageArchive), Run: `workspace=$(ls -d ios/*.xcworkspace | head -n 1)
xcodebuild -workspace "$workspace" -scheme "$(basename "$workspace" .xcworkspace)" -configuration Release \
  -destination generic/platform=iOS -archivePath build/app.xcarchive CODE_SIGNING_ALLOWED=NO archive`}), iosResult
}

// prebuild makes the native project, unless the source has it: then it is kept as it is, as EAS does.
func (p *project) prebuild(platform build.Platform) []Stage {
	if p.hasDir(string(platform)) {
		return nil
	}
	return []Stage{{Name: string(build.StagePrebuild), Run: fmt.Sprintf("npx expo prebuild --platform %s --no-install", platform)}}
}

// Detect returns the toolchain of this machine. getenv is os.Getenv.
func Detect(getenv func(string) string) Toolchain {
	var t Toolchain
	for _, name := range []string{"ANDROID_HOME", "ANDROID_SDK_ROOT"} {
		if sdk := getenv(name); sdk != "" {
			info, err := os.Stat(filepath.Join(sdk, "platforms"))
			t.AndroidSDK = t.AndroidSDK || err == nil && info.IsDir()
		}
	}
	if runtime.GOOS == "darwin" {
		_, err := exec.LookPath("xcodebuild")
		t.Xcode = err == nil
	}
	return t
}
