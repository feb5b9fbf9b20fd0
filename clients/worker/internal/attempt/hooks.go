package attempt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// cancelHookTimeout bounds the hook of a cancelled build, which keeps the slot.
const cancelHookTimeout = 30 * time.Second

// The values of EAS_BUILD_STATUS in the last hook.
const (
	statusVariable = "EAS_BUILD_STATUS"
	statusFinished = "finished"
	statusErrored  = "errored"
)

// runStages runs the plan's stages and then its hooks. It returns why the build failed: a stage, or a hook after stages that succeeded.
func (a *attempt) runStages(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) error {
	err := a.provide(ctx, ws, plan)
	if err == nil {
		err = a.runEach(ctx, ws, plan)
	}
	if err == nil {
		err = a.hook(ctx, ws, plan, "on-success", plan.Hooks.OnSuccess, nil)
	}
	if ctx.Err() != nil {
		a.cancelHook(ctx, ws, plan)
		return err
	}
	status := statusFinished
	if err != nil {
		status = statusErrored
		a.afterFailure(ctx, a.hook(ctx, ws, plan, "on-error", plan.Hooks.OnError, nil))
	}
	last := a.hook(ctx, ws, plan, "on-complete", plan.Hooks.OnComplete, map[string]string{statusVariable: status})
	if err == nil {
		return last
	}
	a.afterFailure(ctx, last)
	return err
}

func (a *attempt) runEach(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) error {
	if plan.Custom != nil {
		return a.runSteps(ctx, ws, plan)
	}
	cacher, _ := ws.(runtime.Cacher)
	if cacher != nil {
		a.logLines(ctx, cacher.RestoreCaches(ctx, plan)...)
	}
	installed := false
	for _, s := range plan.Stages {
		run := a.runCommand
		switch {
		case cacher == nil:
		case plan.Install != nil && s.Name == string(build.StageInstall):
			run, installed = a.runInstall, true
		case installed: // a hook may have set variables since
			a.logLines(ctx, cacher.RestoreBundle(ctx, plan))
		}
		if a.repackFrom != nil && s.Name == pipeline.StageRepack {
			run = repack{a, a.repackFrom}.run
		}
		if err := a.runStage(ctx, s.Name, s.Run, func() error { return run(ctx, ws, plan, s, plan.Env) }); err != nil {
			return err
		}
		if plan.Fingerprint && s.Name == string(build.StageInstall) {
			a.fingerprint(ctx, ws, plan)
			if a.repackFrom != nil {
				if err := (repack{a, a.repackFrom}).check(); err != nil {
					return err
				}
			}
		}
	}
	if cacher != nil {
		a.logLines(ctx, cacher.KeepCaches(ctx, plan)...)
	}
	return nil
}

// runInstall runs the install, unless what it makes is in the cache.
func (a *attempt) runInstall(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan, s pipeline.Stage, env map[string]string) error {
	cacher, _ := ws.(runtime.Cacher) // runEach has asked
	restored, line, err := cacher.RestoreInstall(ctx, plan, s.Run)
	a.logLines(ctx, line)
	if err != nil {
		return err
	}
	if !restored {
		if err := a.runCommand(ctx, ws, plan, s, env); err != nil {
			return err
		}
		a.logLines(ctx, cacher.KeepInstall(ctx))
	}
	return ctx.Err()
}

func (a *attempt) logLines(ctx context.Context, lines ...string) {
	for _, line := range lines {
		if line != "" {
			a.logLine(ctx, "info", line)
		}
	}
}

// hook runs a hook as a stage, if the project has it.
func (a *attempt) hook(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan, name, run string, more map[string]string) error {
	if run == "" {
		return nil
	}
	env := maps.Clone(plan.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, more)
	s := pipeline.Stage{Name: name, Run: run}
	return a.runStage(ctx, name, run, func() error { return a.runCommand(ctx, ws, plan, s, env) })
}

// afterFailure logs that a hook failed too: the build's error is that of the stage.
func (a *attempt) afterFailure(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		a.logLine(ctx, "warn", "the hook failed too: "+err.Error())
	}
}

// cancelHook runs the hook of a cancelled build. The scheduler is not told of its stage: the build has ended there.
func (a *attempt) cancelHook(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) {
	if plan.Hooks.OnCancel == "" || !errors.Is(context.Cause(ctx), ErrCancelled) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelHookTimeout)
	defer cancel()
	a.stage = "on-cancel"
	a.logLine(ctx, "info", fmt.Sprintf("▸ %s: %s", a.stage, plan.Hooks.OnCancel))
	s := pipeline.Stage{Name: a.stage, Run: plan.Hooks.OnCancel}
	if err := a.runCommand(ctx, ws, plan, s, plan.Env); err != nil {
		a.logLine(ctx, "warn", "the hook failed: "+err.Error())
	}
}
