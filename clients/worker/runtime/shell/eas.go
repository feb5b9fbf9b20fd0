package shell

import (
	"errors"
	"fmt"
	"maps"
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

// setOutput is the program set-output of EAS: "set-output NAME value" sets an output of a step of a custom build.
const setOutput = `#!/bin/sh
if [ $# -ne 2 ] || ! printf %s "$1" | grep -Eq '^[A-Za-z0-9_-]{1,64}$'; then
	echo "usage: set-output NAME value" >&2
	exit 2
fi
printf %s "$2" >"$(dirname "$0")/../output/$1"
`

const (
	// maxVariable bounds the value of a variable or output that a build sets, in bytes.
	maxVariable = 32 << 10
	// maxSet bounds how many of them there may be.
	maxSet = 1000
)

// programs are set-env and set-output, which a build calls, and what they have written. The directory is the attempt's.
type programs struct{ dir string }

// make puts the programs into bin, which is the first on the PATH of builds.
func (p programs) make() error {
	for _, dir := range []string{p.bin(), p.variables(), p.outputs()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for name, script := range map[string]string{"set-env": setEnv, "set-output": setOutput} {
		if err := os.WriteFile(filepath.Join(p.bin(), name), []byte(script), 0o700); err != nil { //nolint:gosec // a program
			return err
		}
	}
	return nil
}

func (p programs) bin() string       { return filepath.Join(p.dir, "bin") }
func (p programs) variables() string { return filepath.Join(p.dir, "env") }
func (p programs) outputs() string   { return filepath.Join(p.dir, "output") }

// wasSet returns the variables that the build has set with set-env.
func (p programs) wasSet() (map[string]string, error) {
	vars, err := valuesIn(p.variables(), false)
	if err != nil {
		return nil, fmt.Errorf("variables of set-env: %w", err)
	}
	maps.DeleteFunc(vars, func(name, _ string) bool { return strings.HasPrefix(name, "FREEAGENT_") })
	return vars, nil
}

// TakeOutputs implements runtime.Stepper.
func (p programs) TakeOutputs() (map[string]string, error) {
	outputs, err := valuesIn(p.outputs(), true)
	if err != nil {
		return nil, fmt.Errorf("outputs of set-output: %w", err)
	}
	return outputs, nil
}

// valuesIn returns the contents of the files in a directory that the build writes: it may have put links, pipes and large files there, which
// are left out. If take is set, the files are removed.
func valuesIn(name string, take bool) (map[string]string, error) {
	dir, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	vars := map[string]string{}
	for _, e := range entries {
		info, err := dir.Lstat(e.Name())
		if err == nil && info.Mode().IsRegular() && info.Size() <= maxVariable && len(vars) < maxSet {
			value, err := dir.ReadFile(e.Name())
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			if !strings.Contains(string(value), "\x00") {
				vars[e.Name()] = string(value)
			}
		}
		if take {
			if err := dir.RemoveAll(e.Name()); err != nil {
				return nil, err
			}
		}
	}
	return vars, nil
}
