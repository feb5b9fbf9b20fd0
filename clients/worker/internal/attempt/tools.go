package attempt

import (
	"context"
	"fmt"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

// stageTools is the stage that fetches tools.
const stageTools = "fetch-tools"

// provide makes the tools ready that the plan needs. It is a stage only if some must be fetched.
func (a *attempt) provide(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) error {
	missing, lines := ws.Missing(ctx, plan.Needs)
	if len(lines) > 0 {
		a.logLine(ctx, "info", "tools: "+strings.Join(lines, ", "))
	}
	if len(missing) == 0 {
		return nil
	}
	names := make([]string, len(missing))
	for i, n := range missing {
		names[i] = strings.TrimSpace(n.Name + " " + n.Range)
	}
	return a.runStage(ctx, stageTools, "fetch "+strings.Join(names, " and "), func() error {
		for _, n := range missing {
			line, err := ws.Fetch(ctx, n, func(ctx context.Context, script string) error {
				return a.runCommand(ctx, ws, plan, pipeline.Stage{Name: stageTools, Run: script, Dir: "."}, plan.Env)
			})
			switch {
			case err != nil && n.Advice && ctx.Err() == nil:
				a.logLine(ctx, "warn", fmt.Sprintf("%s asks for %s %s, which could not be fetched; the build continues with that of this machine", n.From, n.Name, n.Range))
			case err != nil:
				return err
			default:
				a.logLine(ctx, "info", line)
			}
		}
		return nil
	})
}
