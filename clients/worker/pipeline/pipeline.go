package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// Request says what of a source is built.
type Request struct {
	Platform build.Platform
	// Profile by name; empty for the default one.
	Profile string
	// AppPath is the directory of the app below the root of the source, as a slash path; empty if it is the root.
	AppPath string
	// BuildNumber is the versionCode (Android) or buildNumber (iOS) for the app; empty: that of the app's own files.
	BuildNumber string
	// RepackName is the file name of the earlier app that gets a new JavaScript bundle; empty for a native build.
	RepackName string
	Tools      Toolchain
}

// Plan says how a project is built.
type Plan struct {
	// Root is the source's: the archive's, or the only directory in it. App is the app's directory, in which the commands run.
	Root, App string
	// Profile by name; empty for the built-in pipeline.
	Profile string
	// Env is that of the profile.
	Env map[string]string
	// Environment is that whose variables of the farm are added to Env; empty for none. EnvironmentNamed means that the profile names it.
	Environment      string
	EnvironmentNamed bool
	// Install says how packages are installed; nil if the project has stages of its own.
	Install *workspace.Install
	Cache   Cache
	// Needs are the tools that the project asks for, in the order in which they are made ready.
	Needs  []Need
	Stages []Stage
	Hooks  Hooks
	// Shell runs the stages.
	Shell Shell
	// Result is a slash path or glob ("**" for any depth) below App: a directory is packed, a file delivered as it is.
	Result string
	// Custom is a custom build, which has steps in place of stages, hooks and a result; nil for any other.
	Custom *Custom
	// Uploads are slash paths below Root that the steps of a custom build deliver, known when they have run.
	Uploads []string
	// Artifacts are globs of files below Root that are kept besides the result, also if the build fails.
	Artifacts []string
	// Fingerprint means that the native fingerprint is computed after the install: the result is a native app.
	Fingerprint bool
	// Repackable means that this app has its JavaScript bundle in it, so that a later build may replace the bundle.
	Repackable bool
	// Name is the result's file name without an extension.
	Name string
	// Timeout of the build and HeartbeatTimeouts by stage are those of the profile; 0 and none if it sets none.
	Timeout           time.Duration
	HeartbeatTimeouts map[string]time.Duration
	// Warnings for the build's log.
	Warnings []string
}

// DirOf returns the directory that a stage runs in.
func (p Plan) DirOf(s Stage) string {
	if s.Dir == "" {
		return p.App
	}
	return filepath.Join(p.Root, filepath.FromSlash(s.Dir))
}

// OpenApp opens the app's directory. It follows no link out of the source, which a build may have made meanwhile.
func (p Plan) OpenApp() (*os.Root, error) {
	root, err := os.OpenRoot(p.Root)
	if err != nil {
		return nil, fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	rel, err := filepath.Rel(p.Root, p.App)
	if err != nil {
		return nil, fmt.Errorf("open the app: %w", err)
	}
	app, err := root.OpenRoot(rel)
	if err != nil {
		return nil, fmt.Errorf("open the app: %w", err)
	}
	return app, nil
}

// Stage is that of package profile.
type Stage = profile.Stage

// Shell is that of package profile.
type Shell = profile.Shell

// The shells.
const (
	Sh            = profile.Sh
	Bash          = profile.Bash
	BashIfPresent = profile.BashIfPresent
)

// FileName and DefaultProfile are those of package profile.
const (
	FileName       = profile.FileName
	DefaultProfile = profile.DefaultProfile
)

// Cache is what a profile says of caches.
type Cache struct {
	Disabled bool
	// Key of the paths, which are relative to the app.
	Key   string
	Paths []string
}

func cacheOf(eas *easjson.Profile) (c Cache) {
	if eas == nil || eas.Cache == nil {
		return c
	}
	return Cache{Disabled: isSet(eas.Cache.Disabled), Key: eas.Cache.Key, Paths: eas.Cache.Paths}
}

// Toolchain is what a machine has for native builds.
type Toolchain struct {
	AndroidSDK, Xcode bool
	// BuildTools is the directory of apksigner; empty without one. Java is there, and zip and unzip are.
	BuildTools string
	Java, Zip  bool
	// Bash is on the PATH of builds.
	Bash bool
}

// Load plans the build of the source in dir. A faulty project is ErrProject.
func Load(dir string, req Request) (Plan, error) {
	p, err := open(dir, req.AppPath)
	if err != nil {
		return Plan{}, err
	}
	defer p.close()
	plan := Plan{Root: p.dir, App: filepath.Join(p.dir, filepath.FromSlash(p.app)), Name: p.slug() + "-" + string(req.Platform)}
	resolved, err := profile.Resolve(p.tree, p.app, string(req.Platform), req.Profile)
	if err != nil {
		return Plan{}, err
	}
	if err := resolved.LoadCustom(p.tree, p.app, string(req.Platform)); err != nil {
		return Plan{}, err
	}
	own := resolved.Own
	plan.Profile, plan.Env, plan.Stages, plan.Result = resolved.Name, resolved.Env, own.Stages, own.Result
	plan.Environment, plan.EnvironmentNamed = resolved.Environment()
	plan.Shell, plan.Warnings = resolved.Shell, resolved.Warnings
	plan.Cache, plan.Artifacts = cacheOf(resolved.EAS), resolved.Artifacts
	plan.Timeout = time.Duration(own.Timeouts.Build)
	for stage, d := range own.Timeouts.Silence {
		if plan.HeartbeatTimeouts == nil {
			plan.HeartbeatTimeouts = map[string]time.Duration{}
		}
		plan.HeartbeatTimeouts[stage] = time.Duration(d)
	}
	if req.RepackName != "" {
		return p.repack(plan, req, resolved)
	}
	plan.Repackable = resolved.EAS == nil || !isSet(resolved.EAS.DevelopmentClient)
	if len(plan.Stages) > 0 {
		plan.Warnings = append(plan.Warnings, profile.HiddenFailures(plan.Shell, plan.Stages, req.Tools.Bash)...)
		var warnings []string
		plan.Needs, warnings = p.explicitNeeds(resolved.EAS)
		plan.Warnings = append(plan.Warnings, warnings...)
		// Without a stage of the name install it is not known when the packages are there.
		plan.Fingerprint = p.hasFingerprint()
		return plan, nil
	}
	if resolved.Custom != nil {
		return p.custom(plan, req, resolved)
	}
	return p.builtIn(plan, req, resolved)
}
