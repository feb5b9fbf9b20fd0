package pipeline

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

const (
	// StageRepack puts a new JavaScript bundle into an earlier app.
	StageRepack = "repack"
	// repackApp is the tool, fetched from the registry of the worker at a version that its arguments were tested with.
	repackApp = "@expo/repack-app@0.9.0"
	// repackedDir has the repacked app, below the app's directory.
	repackedDir = ".freeagent-repack"
)

// The variables of the stage repack: the earlier app, and a directory for the tool's own files.
const (
	RepackSourceVariable = "FREEAGENT_REPACK_SOURCE"
	RepackWorkVariable   = "FREEAGENT_REPACK_WORK"
)

// errRepackTools is this machine's fault: another worker may have them.
var errRepackTools = errors.New("this worker cannot repack")

// repack plans a build that puts a new bundle into an earlier app: hooks and install as in a build, and one stage in place of those that make
// the native app, whichever the profile has.
func (p *project) repack(plan Plan, req Request, of profile.Profile) (Plan, error) {
	plan.Shell, plan.Result, plan.Stages, plan.Artifacts = BashIfPresent, path.Join(repackedDir, req.RepackName), nil, nil
	if !p.pkg.Has("expo") {
		return Plan{}, profile.Problem(`only apps that depend on "expo" can be repacked: build without --repack`)
	}
	if of.EAS != nil && isSet(of.EAS.DevelopmentClient) {
		return Plan{}, profile.Problem("a development client loads its JavaScript when it runs, so there is nothing to repack: build without --repack, or with --reuse")
	}
	if err := req.Tools.canRepack(req.Platform); err != nil {
		return Plan{}, err
	}
	in, err := workspace.InstallOf(p.tree, p.app)
	if err != nil {
		return Plan{}, profile.Problem(err.Error())
	}
	plan.Install, plan.Hooks, plan.Fingerprint = &in, p.hooks(in.Manager), true
	var warnings []string
	plan.Needs, warnings = p.needs(in, of.EAS)
	plan.Warnings = slices.Concat(plan.Warnings, in.Warnings, warnings)
	plan.Stages = append(p.hookStage("pre-install", "npm"), Stage{Name: string(build.StageInstall), Run: in.Command(p.tree), Dir: in.Dir})
	plan.Stages = append(plan.Stages, p.hookStage("post-install", in.Manager)...)
	plan.Stages = append(plan.Stages, Stage{
		Name: StageRepack, Run: repackCommand(req), Env: map[string]string{"NODE_ENV": "production"},
	})
	return plan, nil
}

// repackCommand returns the script of the stage. The native part and its configuration stay as they are, since they have the same
// fingerprint; only the bundle and its assets are replaced.
func repackCommand(req Request) string {
	words := []string{
		"npx", "--yes", repackApp, "--platform", string(req.Platform), "--js-bundle-only", "--embed-bundle-assets",
		"--source-app", `"$` + RepackSourceVariable + `"`, "--working-directory", `"$` + RepackWorkVariable + `"`,
		"--output", `"$PWD"/` + quote(path.Join(repackedDir, req.RepackName)),
	}
	script := "mkdir -p " + repackedDir + "\n"
	if req.Platform == build.Android {
		words = append(words, "--android-build-tools-dir", quote(req.Tools.BuildTools))
		script += `if [ -n "${JAVA_HOME:-}" ]; then PATH="$JAVA_HOME/bin:$PATH"; fi` + "\n"
	}
	return script + strings.Join(words, " ")
}

// hasFingerprint reports whether the app is likely to have @expo/fingerprint, which comes with expo.
func (p *project) hasFingerprint() bool { return p.pkg.Has("expo") || p.pkg.Has("@expo/fingerprint") }

// canRepack returns errRepackTools, with the cure, for a machine that lacks a tool.
func (t Toolchain) canRepack(p build.Platform) error {
	switch {
	case p == build.Android && t.BuildTools == "":
		return fmt.Errorf("%w: apksigner is neither in ANDROID_HOME/build-tools nor on its PATH. Install Android's build-tools (sdkmanager \"build-tools;35.0.0\")", errRepackTools)
	case p == build.Android && !t.Java:
		return fmt.Errorf("%w: java is neither in JAVA_HOME nor on its PATH. Install a JDK", errRepackTools)
	case p == build.IOS && !t.Zip:
		return fmt.Errorf("%w: zip and unzip are not on its PATH. Install them", errRepackTools)
	}
	return nil
}

// detectRepack finds what repacking needs. getenv is os.Getenv.
func (t *Toolchain) detectRepack(getenv func(string) string) {
	onPath := func(name string) string { return lookPath(getenv("PATH"), name) }
	t.BuildTools = newestBuildTools(getenv("ANDROID_HOME"), getenv("ANDROID_SDK_ROOT"))
	if signer := onPath("apksigner"); t.BuildTools == "" && signer != "" {
		t.BuildTools = filepath.Dir(signer)
	}
	t.Java = onPath("java") != "" || getenv("JAVA_HOME") != "" && isProgram(filepath.Join(getenv("JAVA_HOME"), "bin", "java"))
	t.Zip = onPath("zip") != "" && onPath("unzip") != ""
}

// newestBuildTools returns the directory of the highest version of Android's build-tools that has apksigner, and "" if none has.
func newestBuildTools(sdks ...string) string {
	for _, sdk := range sdks {
		if sdk == "" {
			continue
		}
		dirs, err := os.ReadDir(filepath.Join(sdk, "build-tools"))
		if err != nil {
			continue
		}
		slices.SortFunc(dirs, func(a, b os.DirEntry) int { return slices.Compare(numbers(b.Name()), numbers(a.Name())) })
		for _, d := range dirs {
			if dir := filepath.Join(sdk, "build-tools", d.Name()); isProgram(filepath.Join(dir, "apksigner")) {
				return dir
			}
		}
	}
	return ""
}

// numbers are those of a version such as 35.0.0 or 35.0.0-rc1, whose last part counts as -1.
func numbers(version string) []int {
	parts := strings.Split(version, ".")
	all := make([]int, len(parts))
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = -1
		}
		all[i] = n
	}
	return all
}

// lookPath finds a program on a PATH; "" if it is not there.
func lookPath(list, name string) string {
	for _, dir := range filepath.SplitList(list) {
		if program := filepath.Join(dir, name); filepath.IsAbs(dir) && isProgram(program) {
			return program
		}
	}
	return ""
}

func isProgram(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}
