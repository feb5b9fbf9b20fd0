package pipeline

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// nativeAndroid builds an APK. Not run where this was developed (see the package comment).
var nativeAndroid = []Stage{ //nolint:gochecknoglobals // a table
	{string(build.StagePrebuild), "npx expo prebuild --platform android --no-install"},
	{string(build.StageCompile), "chmod +x android/gradlew && ./android/gradlew -p android --no-daemon :app:assembleRelease"},
}

const nativeAndroidResult = "android/app/build/outputs/**/*.apk"

// nativeIOS builds an unsigned archive for devices. Not run where this was developed (see the package comment).
var nativeIOS = []Stage{ //nolint:gochecknoglobals // a table
	{string(build.StagePrebuild), "npx expo prebuild --platform ios --no-install"},
	{string(build.StagePods), "cd ios && pod install"},
	{string(build.StageArchive), `workspace=$(ls -d ios/*.xcworkspace | head -n 1)
xcodebuild -workspace "$workspace" -scheme "$(basename "$workspace" .xcworkspace)" -configuration Release \
  -destination generic/platform=iOS -archivePath build/app.xcarchive CODE_SIGNING_ALLOWED=NO archive`},
}

const nativeIOSResult = "build/app.xcarchive"

func native(platform build.Platform, tools Toolchain) (stages []Stage, result string, ok bool) {
	switch {
	case platform == build.Android && tools.AndroidSDK:
		return nativeAndroid, nativeAndroidResult, true
	case platform == build.IOS && tools.Xcode:
		return nativeIOS, nativeIOSResult, true
	}
	return nil, "", false
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
