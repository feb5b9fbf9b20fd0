package pipeline

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// native makes the stages of native builds, as EAS does (https://docs.expo.dev/build-reference/android-builds/ and ios-builds/).
type native struct {
	*project

	manager workspace.Manager
	// eas is the profile of eas.json; nil without one.
	eas *easjson.Profile
	// number is the build number for the app; empty: its own.
	number string
}

// profile returns that of eas.json, or an empty one.
func (n native) profile() easjson.Profile {
	if n.eas == nil {
		return easjson.Profile{}
	}
	return *n.eas
}

func isSet(b *bool) bool { return b != nil && *b }

// android adds the stages of an APK or AAB. Not run where this was developed (see the package comment).
func (n native) android(plan *Plan) (result string) {
	plan.Stages = append(plan.Stages, n.prebuild(build.Android)...)
	plan.Stages = append(plan.Stages, n.hookStage("post-install", n.manager)...)
	plan.Stages = append(plan.Stages, n.updates(build.Android)...)
	plan.Stages = append(plan.Stages, n.setNumber(build.Android)...)
	plan.Stages = append(plan.Stages, Stage{
		Name: string(build.StageCompile), Run: gradle(n.gradleCommand()),
	})
	return cmp.Or(n.profile().Archive(), "android/app/build/outputs/**/*.{apk,aab}")
}

func gradle(tasks string) string {
	return "cd android && chmod +x gradlew && ./gradlew --no-daemon " + tasks
}

func (n native) gradleCommand() string {
	switch e := n.profile(); {
	case e.GradleCommand != "":
		return e.GradleCommand
	case isSet(e.DevelopmentClient):
		return ":app:assembleDebug"
	case n.eas == nil || e.BuildType == easjson.BuildTypeAPK || e.BuildType == "" && e.Distribution == easjson.DistributionInternal:
		return ":app:assembleRelease"
	}
	return ":app:bundleRelease"
}

// ios adds the stages of an unsigned archive for devices, or of an app for the simulator. Not run where this was developed (see the package
// comment).
func (n native) ios(plan *Plan) (result string) {
	plan.Stages = append(plan.Stages, n.prebuild(build.IOS)...)
	plan.Stages = append(plan.Stages, Stage{Name: string(build.StagePods), Run: "cd ios && pod install"})
	plan.Stages = append(plan.Stages, n.hookStage("post-install", n.manager)...)
	plan.Stages = append(plan.Stages, n.updates(build.IOS)...)
	plan.Stages = append(plan.Stages, n.setNumber(build.IOS)...)
	e := n.profile()
	scheme, configuration := `"$(basename "$workspace" .xcworkspace)"`, "Release"
	if e.Scheme != "" {
		scheme = quote(e.Scheme)
	}
	if isSet(e.DevelopmentClient) {
		configuration = "Debug"
	}
	run := fmt.Sprintf("workspace=$(ls -d ios/*.xcworkspace | head -n 1)\nxcodebuild -workspace \"$workspace\" -scheme %s -configuration %s CODE_SIGNING_ALLOWED=NO",
		scheme, quote(cmp.Or(e.BuildConfiguration, configuration)))
	what, result := "-destination generic/platform=iOS -archivePath build/app.xcarchive archive", "build/app.xcarchive"
	if isSet(e.Simulator) {
		what, result = "-destination 'generic/platform=iOS Simulator' -derivedDataPath ios/build build", "ios/build/Build/Products/*-iphonesimulator/*.app"
	}
	plan.Stages = append(plan.Stages, Stage{Name: string(build.StageArchive), Run: run + " \\\n  " + what})
	return cmp.Or(e.Archive(), result)
}

// prebuild makes the native project, unless the source has it: then it is kept as it is, as EAS does.
func (n native) prebuild(platform build.Platform) []Stage {
	if n.hasDir(string(platform)) || !n.pkg.Has("expo") {
		return nil
	}
	run := fmt.Sprintf("npx expo prebuild --no-install --platform %s", platform)
	if own := n.profile().PrebuildCommand; own != "" {
		own = strings.TrimPrefix(strings.TrimPrefix(own, "npx "), "expo ")
		if run = "npx expo " + own; !platformFlag.MatchString(own) {
			run += " --platform " + string(platform)
		}
	}
	return []Stage{{Name: string(build.StagePrebuild), Run: run}}
}

// platformFlag is a prebuildCommand's own choice of the platform.
var platformFlag = regexp.MustCompile(`(^|\s)(--platform|-p)(\s|=)`)

// quote makes a word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

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
	t.detectRepack(getenv)
	return t
}
