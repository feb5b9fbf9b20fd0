package pipeline

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Plan says how a project is built.
type Plan struct {
	// Root is the directory that the commands run in: the archive's, or the only directory in it.
	Root string
	// Profile by name; empty for the built-in pipeline.
	Profile string
	// Env is that of the profile.
	Env    map[string]string
	Stages []Stage
	// Shell runs the stages.
	Shell Shell
	// Result is a slash path or glob ("**" for any depth) below Root: a directory is packed, a file delivered as it is.
	Result string
	// Name is the result's file name without an extension.
	Name string
	// Timeout of the build and HeartbeatTimeouts by stage are those of the profile; 0 and none if it sets none.
	Timeout           time.Duration
	HeartbeatTimeouts map[string]time.Duration
	// Warnings for the build's log.
	Warnings []string
}

// Stage is a command with a name.
type Stage struct {
	Name string `json:"name"`
	// Run is a line (or several) for the plan's shell.
	Run string `json:"run"`
}

// Shell is the interpreter of stages and its options.
type Shell string

// The shells. With Sh, a pipeline fails only if its last command does; with Bash, if any command of it does.
const (
	Sh   Shell = "/bin/sh -e"
	Bash Shell = "bash -eo pipefail"
	// BashIfPresent is Bash, or Sh on a machine without bash. It is the default.
	BashIfPresent Shell = "bash -eo pipefail, if present"
)

// Toolchain is what a machine has for native builds.
type Toolchain struct {
	AndroidSDK, Xcode bool
	// Bash is on the PATH of builds.
	Bash bool
}

// FileName is the project's own description of its builds.
const FileName = "freeagent.json"

// defaultProfile is used when the build names none and the file has it.
const defaultProfile = "production"

// Load plans the build of the project in dir. profile may be empty. A faulty project is ErrProject.
func Load(dir string, platform build.Platform, profile string, tools Toolchain) (Plan, error) {
	root, err := projectRoot(dir)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Root: root, Name: slug(root) + "-" + string(platform)}
	file, found, err := readFile(filepath.Join(root, FileName))
	if err != nil {
		return Plan{}, err
	}
	p, name, err := file.choose(profile, found)
	if err != nil {
		return Plan{}, err
	}
	if plan.Shell, err = file.shell(); err != nil {
		return Plan{}, err
	}
	plan.Profile, plan.Env, plan.Stages, plan.Result = name, p.Env, p.Stages, p.Result
	plan.Timeout = time.Duration(p.Timeouts.Build)
	for stage, d := range p.Timeouts.Silence {
		if plan.HeartbeatTimeouts == nil {
			plan.HeartbeatTimeouts = map[string]time.Duration{}
		}
		plan.HeartbeatTimeouts[stage] = time.Duration(d)
	}
	if len(plan.Stages) > 0 {
		plan.Warnings = append(plan.Warnings, pipelineWarnings(plan, tools)...)
		return plan, nil
	}
	return builtIn(plan, platform, tools)
}

// projectRoot returns dir, or the only directory in it, which many archives have.
func projectRoot(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("read the project: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "package.json" || name == FileName:
			return dir, nil
		case e.IsDir() && !strings.HasPrefix(name, ".") && name != "__MACOSX":
			dirs = append(dirs, name)
		}
	}
	if len(dirs) == 1 {
		inner := filepath.Join(dir, dirs[0])
		if isFile(filepath.Join(inner, "package.json")) || isFile(filepath.Join(inner, FileName)) {
			return inner, nil
		}
	}
	return "", problem{"the source has no package.json: submit the directory of the Expo app itself"}
}

// isFile does not follow links, which may lead out of the project.
func isFile(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// read reads a small file of the project without following links out of it.
func read(root, name string) ([]byte, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := fs.Stat(r.FS(), name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, problem{fmt.Sprintf("%s has %d bytes, at most %d are read", name, info.Size(), maxFile)}
	}
	return fs.ReadFile(r.FS(), name)
}

// maxFile bounds package.json and its like, in bytes.
const maxFile = 4 << 20
