package pipeline

import "github.com/expo-free-agent/freeagent/shared/project/workspace"

// Hooks are commands that run when a build ends, in the app's directory; empty ones are not set. They are the scripts eas-build-on-* of
// package.json (https://docs.expo.dev/build-reference/npm-hooks/).
type Hooks struct {
	// OnSuccess runs after the stages and can fail the build. OnError runs after a stage that failed, OnComplete after either.
	OnSuccess, OnError, OnComplete string
	// OnCancel runs when the build is cancelled.
	OnCancel string
}

// hooks are those of the app.
func (p *project) hooks(m workspace.Manager) Hooks {
	return Hooks{
		OnSuccess: p.script("on-success", m), OnError: p.script("on-error", m), OnComplete: p.script("on-complete", m),
		OnCancel: p.script("on-cancel", m),
	}
}

// script returns the command of a hook, and "" if package.json has none.
func (p *project) script(hook string, m workspace.Manager) string {
	if p.pkg.Scripts["eas-build-"+hook] == "" {
		return ""
	}
	return string(m) + " run eas-build-" + hook
}

// hookStage returns the stage of a hook that runs between stages, or none.
func (p *project) hookStage(hook string, m workspace.Manager) []Stage {
	run := p.script(hook, m)
	if run == "" {
		return nil
	}
	return []Stage{{Name: hook, Run: run}}
}
