package attempt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/failure"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// build turns the source into the uploaded result and returns its object id.
func (a *attempt) build(ctx context.Context, ws runtime.Workspace) (resultID string, err error) {
	if from := a.job.Settings.RepackFrom; from != "" && a.job.RepackName == "" {
		return "", errRepackGone(from)
	}
	err = a.runStage(ctx, string(build.StagePrepare), "source", func() error { return a.transfers.FetchSource(ctx, ws, a.source) })
	if err != nil {
		return "", err
	}
	plan, err := ws.Plan(ctx)
	if err != nil {
		return "", err
	}
	farm, err := a.variables(ctx, plan)
	if err != nil {
		return "", err
	}
	a.hideSecrets(ctx, append(plan.Custom.Secrets(), plan.Env), farm)
	plan.Env = a.addVariables(ctx, plan, farm)
	for _, warning := range plan.Warnings {
		a.logLine(ctx, "warn", warning)
	}
	a.plan = plan
	a.applyTimeouts(ctx, plan)
	if err := a.runStages(ctx, ws, plan); err != nil {
		return "", err
	}
	what := plan.Result
	if plan.Custom != nil {
		plan.Uploads, what = a.uploads, cmp.Or(strings.Join(a.uploads, ", "), "no step has uploaded anything")
	}
	err = a.runStage(ctx, string(build.StageUpload), what, func() error {
		resultID, err = a.transfers.DeliverResult(ctx, ws, plan)
		return err
	})
	return resultID, err
}

// runStage runs f as a stage: heartbeats carry it, the scheduler and the log are told of it.
func (a *attempt) runStage(ctx context.Context, stage, what string, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a.stage = stage
	a.renewer.EnterStage(stage)
	a.stages.Report(ctx, stage, a.renewer.ProfileTimeout(stage))
	began := time.Now()
	a.logLine(ctx, "info", fmt.Sprintf("▸ %s: %s", stage, what))
	err := f()
	took := roundDuration(time.Since(began))
	if err != nil {
		a.logLine(ctx, "error", fmt.Sprintf("✗ %s failed after %s", stage, took))
		return err
	}
	a.logLine(ctx, "info", fmt.Sprintf("✓ %s in %s", stage, took))
	return nil
}

// roundDuration returns a duration with at most three digits.
func roundDuration(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}

// stageError is a command that failed, and why.
type stageError struct {
	stage string
	exit  *process.ExitError
	cause failure.Cause
}

func (e *stageError) Error() string {
	text := fmt.Sprintf("%s failed with exit code %d", e.stage, e.exit.Code)
	if e.exit.Signal != "" {
		text = fmt.Sprintf("%s was ended by a signal (%s)", e.stage, e.exit.Signal)
	}
	if cause := e.cause.String(); cause != "" {
		text += ": " + cause
	}
	return text
}

func (e *stageError) Unwrap() error { return e.exit }

// runEdit runs a stage that changes files of the app.
func (a *attempt) runEdit(ctx context.Context, plan pipeline.Plan, s pipeline.Stage) error {
	app, err := plan.OpenApp()
	if err != nil {
		return err
	}
	defer app.Close()
	lines, err := s.Edit(app)
	for line := range strings.Lines(lines) {
		a.logLine(ctx, buildlog.Level(line), line)
	}
	return err
}

func (a *attempt) runCommand(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan, s pipeline.Stage, env map[string]string) error {
	if s.Edit != nil {
		return a.runEdit(ctx, plan, s)
	}
	finder := failure.NewFinder(plan.Root)
	lines := buildlog.NewLines(a.mask, func(text string) {
		level := buildlog.Level(text)
		finder.Line(level, text)
		a.lines.Line(ctx, level, s.Name, text)
	})
	err := ws.Run(ctx, runtime.Command{
		Stage: s.Name, Run: s.Run, Shell: cmp.Or(s.Shell, plan.Shell), Dir: plan.DirOf(s), Env: env, StageEnv: s.Env, Output: lines,
	})
	lines.Close()
	var exit *process.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return &stageError{stage: s.Name, exit: exit, cause: finder.Find(exit.Code, exit.Signal)}
	}
	return err
}
