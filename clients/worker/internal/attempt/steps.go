package attempt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/custom"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// errNoSteps is this machine's fault: another worker may have an executor that can.
var errNoSteps = errors.New("this worker's executor runs no custom builds")

// errStepTimedOut ends the context of a step.
var errStepTimedOut = errors.New("step timed out")

// steps runs the steps of a custom build.
type steps struct {
	*attempt

	ws    runtime.Workspace
	state runtime.Stepper
	plan  pipeline.Plan
	now   custom.Context
	// ran is set when a step has run a command that an install may depend on.
	ran bool
}

// runSteps runs the steps of a custom build. After one has failed, those run whose condition says so. The error is that of the first one.
func (a *attempt) runSteps(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) error {
	state, ok := ws.(runtime.Stepper)
	if !ok {
		return errNoSteps
	}
	r := &steps{attempt: a, ws: ws, state: state, plan: plan, now: custom.Context{
		Job: plan.Custom.Job, System: goruntime.GOOS, Outputs: map[string]map[string]string{},
	}}
	cacher, _ := ws.(runtime.Cacher)
	if cacher != nil {
		a.logLines(ctx, cacher.RestoreCaches(ctx, plan)...)
	}
	var first error
	for _, s := range plan.Custom.Steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := r.step(ctx, s)
		if errors.Is(err, custom.ErrInvalid) {
			err = profile.Problem(err.Error())
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case first == nil:
			first, r.now.Failed = err, true
		default:
			a.logLine(ctx, "warn", fmt.Sprintf("step %q failed too: %v", s.Name, err))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if first == nil && cacher != nil {
		a.logLines(ctx, cacher.KeepCaches(ctx, plan)...)
	}
	return first
}

// step runs a step, unless its condition is not met.
func (r *steps) step(ctx context.Context, s pipeline.Step) error {
	var err error
	if r.now.Env, err = r.state.Variables(r.plan.Env, nil); err != nil {
		return err
	}
	should, err := s.ShouldRun(r.now)
	if err != nil {
		return err
	}
	if !should {
		r.logLine(ctx, "info", fmt.Sprintf("– %s: skipped: %s", s.Stage.Name, s.Name))
		return nil
	}
	rendered, err := s.Render(r.now)
	if err != nil {
		return err
	}
	stage := s.Of(rendered)
	return r.runStage(ctx, stage.Name, s.Title(rendered), func() error {
		if s.Upload != nil {
			return r.upload(ctx, s, rendered.Inputs)
		}
		if err := r.command(ctx, s, stage); err != nil {
			return err
		}
		return s.CheckOutputs(r.now.Outputs[s.ID])
	})
}

// command runs the step's command and takes its outputs, which count even if it fails.
func (r *steps) command(ctx context.Context, s pipeline.Step, stage pipeline.Stage) error {
	if err := r.checkDir(s, stage); err != nil {
		return err
	}
	run := r.runCommand
	cacher, _ := r.ws.(runtime.Cacher)
	if cacher != nil {
		r.logLines(ctx, cacher.RestoreBundle(ctx, r.plan)) // does nothing before the install
	}
	if cacher != nil && s.Function == custom.InstallModules && stage.Name == string(build.StageInstall) {
		// What a command before it has changed may be no part of the cache's key.
		if run = r.runInstall; r.ran {
			run = r.runCommand
			r.logLine(ctx, "info", "install is not cached: steps ran before it")
		}
	}
	r.ran = r.ran || s.Function != custom.UseNPMToken // the key has .npmrc
	limited := ctx
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, s.Timeout, errStepTimedOut)
		defer cancel()
	}
	err := run(limited, r.ws, r.plan, stage, r.plan.Env)
	if errors.Is(err, errStepTimedOut) {
		err = profile.Problem(fmt.Sprintf("step %q timed out after %s (timeout_minutes)", s.Name, formatDuration(s.Timeout)))
	}
	outputs, failed := r.state.TakeOutputs()
	if s.ID != "" {
		r.now.Outputs[s.ID] = outputs
	}
	if err != nil {
		return err
	}
	return failed
}

// checkDir refuses a working directory that is not there, which is the project's fault.
func (r *steps) checkDir(s pipeline.Step, stage pipeline.Stage) error {
	if s.Dir == "" {
		return nil
	}
	root, err := os.OpenRoot(r.plan.Root)
	if err != nil {
		return fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	if info, err := root.Stat(filepath.FromSlash(stage.Dir)); err != nil || !info.IsDir() {
		return profile.Problem(fmt.Sprintf("step %q: working_directory %q is not a directory of the source", s.Name, s.Dir))
	}
	return nil
}

// upload notes the files that the build delivers.
func (r *steps) upload(ctx context.Context, s pipeline.Step, inputs map[string]any) error {
	to := &r.uploads
	if kind := custom.Text(inputs["type"]); kind == custom.BuildArtifact || kind == "BUILD_ARTIFACTS" {
		to = &r.artifacts
	}
	patterns := []string{s.Upload.Pattern}
	if s.Upload.Pattern == "" {
		patterns = strings.Split(custom.Text(inputs["path"]), "\n")
	}
	root, err := os.OpenRoot(r.plan.Root)
	if err != nil {
		return fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	found := 0
	for _, pattern := range patterns {
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			continue
		}
		if rel, ok := strings.CutPrefix(pattern, r.plan.Root+"/"); ok {
			pattern = rel
		}
		if err := profile.CheckResult(fmt.Sprintf("step %q: path", s.Name), pattern); err != nil {
			return err
		}
		matches, err := pipeline.Match(root, path.Join(s.Upload.Base, pattern))
		if err != nil {
			return err
		}
		r.logLine(ctx, "info", fmt.Sprintf("%d found: %s", len(matches), pattern))
		found += len(matches)
		*to = append(*to, matches...)
	}
	if found == 0 && inputs["ignore_error"] != true {
		return profile.Problem(fmt.Sprintf("step %q: there is nothing to upload at %s (paths are relative to the root of the source)", s.Name, strings.Join(patterns, ", ")))
	}
	slices.Sort(*to)
	*to = slices.Compact(*to)
	return nil
}
