package attempt

import (
	"context"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/appversion"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

// setNumber puts the build number into the native project, and logs what it changed.
func (a *attempt) setNumber(ctx context.Context, _ runtime.Workspace, plan pipeline.Plan, s pipeline.Stage, _ map[string]string) error {
	app, err := plan.OpenApp()
	if err != nil {
		return err
	}
	defer app.Close()
	report, err := appversion.Set(app, a.job.Platform, s.BuildNumber)
	if err != nil {
		return err
	}
	a.logLines(ctx, report.Changes...)
	for _, warning := range report.Warnings {
		a.logLine(ctx, "warn", warning)
	}
	return nil
}
