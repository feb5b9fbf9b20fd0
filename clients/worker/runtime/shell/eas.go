package shell

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// easVariables are those that an EAS build has (https://docs.expo.dev/eas/environment-variables/), as far as they are known. A profile
// cannot change them.
func (w *workspace) easVariables() map[string]string {
	profile, number := w.job.Profile, "EAS_BUILD_ANDROID_VERSION_CODE"
	if profile == "" {
		profile = pipeline.DefaultProfile
	}
	if w.job.Platform == build.IOS {
		number = "EAS_BUILD_IOS_BUILD_NUMBER"
	}
	vars := map[string]string{
		"EAS_BUILD": "true", "EAS_BUILD_RUNNER": "local-build-plugin", "EAS_BUILD_PROJECT_ID": w.job.Project,
		"EAS_BUILD_ID": w.job.BuildID, "EAS_BUILD_PLATFORM": string(w.job.Platform), "EAS_BUILD_PROFILE": profile,
		"EAS_BUILD_WORKINGDIR": w.Dir(),
	}
	for name, value := range map[string]string{
		"EAS_BUILD_GIT_COMMIT_HASH": w.job.Origin.Commit, "EAS_BUILD_USERNAME": w.job.Settings.Username, number: w.job.Settings.BuildNumber,
	} {
		if value != "" {
			vars[name] = value
		}
	}
	return vars
}

// nodeHeap is the heap of Node.js in a build on EAS. A project's own NODE_OPTIONS follow it, and the later option wins.
const nodeHeap = "--max-old-space-size=3072"

// toolDefaults are the options that EAS gives to Node.js, Gradle and Xcode; own are the variables of the profile.
func toolDefaults(own map[string]string) map[string]string {
	defaults := map[string]string{
		"NODE_OPTIONS": strings.TrimSpace(nodeHeap + " " + own["NODE_OPTIONS"]), "HOMEBREW_NO_AUTO_UPDATE": "1", "COMPILER_INDEX_STORE_ENABLE": "NO",
	}
	if own["GRADLE_OPTS"] == "" {
		heap := ""
		if gib := memory() >> 32; gib > 0 { // a quarter of the memory
			heap = fmt.Sprintf(" -Xmx%dg", gib)
		}
		defaults["GRADLE_OPTS"] = `-Dorg.gradle.jvmargs="-XX:MaxMetaspaceSize=1g` + heap + `" -Dorg.gradle.parallel=true -Dorg.gradle.daemon=false`
	}
	return defaults
}

// setEnv is the program set-env of EAS: "set-env NAME value" sets a variable for the commands that follow.
const setEnv = `#!/bin/sh
if [ $# -ne 2 ] || ! printf %s "$1" | grep -Eq '^[A-Za-z_][A-Za-z0-9_]*$'; then
	echo "usage: set-env NAME value" >&2
	exit 2
fi
printf %s "$2" >"$(dirname "$0")/../env/$1"
`

// maxVariable bounds the value of a variable that a build sets, in bytes.
const maxVariable = 32 << 10

// makeSetEnv puts set-env into the attempt's directory bin, which is the first on its PATH.
func (w *workspace) makeSetEnv() error {
	for _, dir := range []string{w.bin(), w.set()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(w.bin(), "set-env"), []byte(setEnv), 0o700) //nolint:gosec // a program
}

func (w *workspace) bin() string { return filepath.Join(w.dir, "bin") }
func (w *workspace) set() string { return filepath.Join(w.dir, "env") }

// wasSet returns the variables that the build has set with set-env.
func (w *workspace) wasSet() (map[string]string, error) {
	dir, err := os.OpenRoot(w.set()) // the build may have put links there
	if err != nil {
		return nil, fmt.Errorf("variables of set-env: %w", err)
	}
	defer dir.Close()
	entries, err := os.ReadDir(w.set())
	if err != nil {
		return nil, fmt.Errorf("variables of set-env: %w", err)
	}
	vars := map[string]string{}
	for _, e := range entries {
		info, err := dir.Lstat(e.Name())
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxVariable || strings.HasPrefix(e.Name(), "FREEAGENT_") {
			continue
		}
		value, err := dir.ReadFile(e.Name())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("variables of set-env: %w", err)
		}
		if !strings.Contains(string(value), "\x00") {
			vars[e.Name()] = string(value)
		}
	}
	return vars, nil
}
