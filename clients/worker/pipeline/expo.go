package pipeline

import (
	"fmt"
	"path"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// builtIn returns the pipeline of an app without stages of its own.
func (p *project) builtIn(plan Plan, req Request) (Plan, error) {
	plan.Shell = BashIfPresent
	if !p.pkg.Has("expo") && !p.pkg.Has("react-native") {
		return Plan{}, p.notAnApp()
	}
	in, err := workspace.InstallOf(p.tree, p.app)
	if err != nil {
		return Plan{}, problem{err.Error()}
	}
	plan.Warnings = append(plan.Warnings, in.Warnings...)
	plan.Hooks = p.hooks(in.Manager)
	plan.Stages = append(p.hookStage("pre-install", "npm"), Stage{Name: string(build.StageInstall), Run: in.Command(p.tree), Dir: in.Dir})
	stages, result := p.compile(req, in.Manager)
	plan.Stages, plan.Result = append(plan.Stages, stages...), result
	return plan, nil
}

// notAnApp says what to do with a source whose root is a library, or a workspace with apps in it.
func (p *project) notAnApp() error {
	w, ok, err := workspace.Find(p.tree, p.app)
	if err == nil && ok && w.Dir == p.app {
		if apps, err := w.Apps(); err == nil && len(apps) > 0 {
			return problem{fmt.Sprintf("the source is the root of a workspace, whose apps are %s: submit the directory of one of them", strings.Join(apps, ", "))}
		}
	}
	return problem{fmt.Sprintf(`%s does not depend on "expo" or "react-native": add it, or name the stages of your own in %s`,
		path.Join(p.app, "package.json"), FileName)}
}

// compile returns the stages after the install and what they make: the native build where this machine has the tools, else the JavaScript
// bundle.
func (p *project) compile(req Request, m workspace.Manager) (stages []Stage, result string) {
	switch {
	case req.Platform == build.Android && req.Tools.AndroidSDK:
		return p.android(m)
	case req.Platform == build.IOS && req.Tools.Xcode:
		return p.ios(m)
	}
	stages = p.hookStage("post-install", m)
	export := fmt.Sprintf("npx expo export --platform %s --output-dir dist", req.Platform)
	if !p.pkg.Has("expo") {
		export = fmt.Sprintf("mkdir -p dist\nnpx react-native bundle --platform %s --dev false --entry-file %s --bundle-output dist/index.%[1]s.bundle --assets-dest dist",
			req.Platform, p.entryFile(string(req.Platform)))
	}
	return append(stages, Stage{Name: string(build.StageExport), Run: export}), "dist"
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
