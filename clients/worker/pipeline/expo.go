package pipeline

import (
	"fmt"
	"path"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// builtIn returns the pipeline of an app without stages of its own.
func (p *project) builtIn(plan Plan, req Request, of profile.Profile) (Plan, error) {
	plan.Shell = BashIfPresent
	if !p.pkg.Has("expo") && !p.pkg.Has("react-native") {
		return Plan{}, p.notAnApp()
	}
	in, err := workspace.InstallOf(p.tree, p.app)
	if err != nil {
		return Plan{}, profile.Problem(err.Error())
	}
	plan.Warnings = append(plan.Warnings, in.Warnings...)
	plan.Install = &in
	plan.Hooks = p.hooks(in.Manager)
	var warnings []string
	plan.Needs, warnings = p.needs(in, of.EAS)
	plan.Warnings = append(plan.Warnings, warnings...)
	plan.Stages = append(p.hookStage("pre-install", "npm"), Stage{Name: string(build.StageInstall), Run: in.Command(p.tree), Dir: in.Dir})
	b := native{project: p, manager: in.Manager, eas: of.EAS, number: req.BuildNumber}
	switch {
	case req.Platform == build.Android && req.Tools.AndroidSDK:
		plan.Result, plan.Fingerprint = b.android(&plan), p.hasFingerprint() || of.MakesDevelopmentClient(req.Platform)
	case req.Platform == build.IOS && req.Tools.Xcode:
		plan.Result, plan.Fingerprint = b.ios(&plan), p.hasFingerprint() || of.MakesDevelopmentClient(req.Platform)
	default:
		plan.Result = p.bundle(&plan, req.Platform, in.Manager)
	}
	return plan, nil
}

// notAnApp says what to do with a source whose root is a library, or a workspace with apps in it.
func (p *project) notAnApp() error {
	w, ok, err := workspace.Find(p.tree, p.app)
	if err == nil && ok && w.Dir == p.app {
		if apps, err := w.Apps(); err == nil && len(apps) > 0 {
			return profile.Problem(fmt.Sprintf("the source is the root of a workspace, whose apps are %s: submit the directory of one of them", strings.Join(apps, ", ")))
		}
	}
	return profile.Problem(fmt.Sprintf(`%s does not depend on "expo" or "react-native": add it, or name the stages of your own in %s`,
		path.Join(p.app, "package.json"), FileName))
}

// bundle adds the stages that make the JavaScript bundle, which is all that a machine without the platform's tools can make.
func (p *project) bundle(plan *Plan, platform build.Platform, m workspace.Manager) (result string) {
	plan.Stages = append(plan.Stages, p.hookStage("post-install", m)...)
	export := fmt.Sprintf("npx expo export --platform %s --output-dir dist", platform)
	if !p.pkg.Has("expo") {
		export = fmt.Sprintf("mkdir -p dist\nnpx react-native bundle --platform %s --dev false --entry-file %s --bundle-output dist/index.%[1]s.bundle --assets-dest dist",
			platform, p.entryFile(string(platform)))
	}
	plan.Stages = append(plan.Stages, Stage{Name: string(build.StageExport), Run: export})
	return "dist"
}

// entryFile returns the file that a plain React Native app begins with.
func (p *project) entryFile(platform string) string {
	for _, name := range []string{"index." + platform + ".js", "index.js", "index.ts", "index.tsx"} {
		if p.has(name) {
			return name
		}
	}
	return "index.js"
}
