package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// build takes the source to the uploaded result and gives the result's object id.
func (a *attempt) build(ctx context.Context, ws runtime.Workspace) (id string, err error) {
	err = a.within(ctx, string(build.StagePrepare), "source", func() error { return a.prepare(ctx, ws) })
	if err != nil {
		return "", err
	}
	plan, err := ws.Plan(ctx)
	if err != nil {
		return "", err
	}
	for _, warning := range plan.Warnings {
		a.say(ctx, "warn", warning)
	}
	a.adopt(ctx, plan)
	a.mask = buildlog.NewMask(append(slices.Clone(a.worker.deps.Executor.Secrets()), secretsOf(plan.Env)...))
	for _, s := range plan.Stages {
		if err := a.within(ctx, s.Name, s.Run, func() error { return a.command(ctx, ws, plan, s) }); err != nil {
			return "", err
		}
	}
	err = a.within(ctx, string(build.StageUpload), plan.Result, func() error {
		id, err = a.deliver(ctx, ws, plan)
		return err
	})
	return id, err
}

func secretsOf(env map[string]string) []string {
	var secrets []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if buildlog.SecretName(name) {
			secrets = append(secrets, env[name])
		}
	}
	return secrets
}

// within runs a stage: lease, scheduler and log hear of it.
func (a *attempt) within(ctx context.Context, stage, what string, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a.stage = stage
	a.keeper.enter(stage)
	a.reporter.enter(ctx, stage, a.keeper.forgiven(stage))
	begin := time.Now()
	a.say(ctx, "info", fmt.Sprintf("▸ %s: %s", stage, a.mask.Text(what)))
	err := f()
	took := short(time.Since(begin))
	if err != nil {
		a.say(ctx, "error", fmt.Sprintf("✗ %s failed after %s", stage, took))
		return err
	}
	a.say(ctx, "info", fmt.Sprintf("✓ %s in %s", stage, took))
	return nil
}

// short is a duration as people say it: three digits are enough.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}

// say adds a line of the worker's own, cut like any other.
func (a *attempt) say(ctx context.Context, level, text string) {
	l := buildlog.NewLines(buildlog.Mask{}, func(line string) { a.lines.Line(ctx, level, a.stage, line) })
	_, _ = l.Write([]byte(text))
	l.Close()
}

// stageError is a command that ended badly, with the line that most likely says why.
type stageError struct {
	stage string
	exit  *process.ExitError
	line  string
}

func (e *stageError) Error() string {
	text := fmt.Sprintf("%s failed with exit code %d", e.stage, e.exit.Code)
	if e.exit.Signal != "" {
		text = fmt.Sprintf("%s was ended by a signal (%s)", e.stage, e.exit.Signal)
	}
	if e.line != "" {
		text += ": " + e.line
	}
	return text
}

func (e *stageError) Unwrap() error { return e.exit }

func (a *attempt) command(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan, s pipeline.Stage) error {
	var why culprit
	lines := buildlog.NewLines(a.mask, func(text string) {
		level := buildlog.Level(text)
		why.see(level, text)
		a.lines.Line(ctx, level, s.Name, text)
	})
	err := ws.Run(ctx, runtime.Command{Stage: s.Name, Run: s.Run, Shell: plan.Shell, Dir: plan.Root, Env: plan.Env, Output: lines})
	lines.Close()
	var exit *process.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return &stageError{stage: s.Name, exit: exit, line: why.line()}
	}
	return err
}
