package attempt

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// limits are the longest timeouts that a build's profile may set; 0 allows none.
type limits struct{ build, heartbeat time.Duration }

func limitsOf(claim *schedulerv1.ClaimResponse) limits {
	return limits{
		build:     time.Duration(claim.GetMaxTimeoutSeconds()) * time.Second,
		heartbeat: time.Duration(claim.GetMaxStageTtlSeconds()) * time.Second,
	}
}

// applyTimeouts sets the timeouts of the build's profile. It cuts those above the farm's limits, with a warning in the log.
func (a *attempt) applyTimeouts(ctx context.Context, plan pipeline.Plan) {
	if want := plan.Timeout; want > 0 {
		got := min(want, a.limits.build)
		if got < want {
			a.logLine(ctx, "warn", aboveLimit("build timeout", want, max(got, a.timeout)))
		}
		if got > 0 {
			a.timeout = got
			a.timer.Reset(got - time.Since(a.began))
			a.stages.SetBuildTimeout(got)
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(plan.HeartbeatTimeouts)) {
		want := plan.HeartbeatTimeouts[stage]
		got := min(want, a.limits.heartbeat)
		if got < want {
			a.logLine(ctx, "warn", aboveLimit("heartbeat timeout of stage "+stage, want, a.limits.heartbeat))
		}
		if got > 0 {
			a.renewer.SetTimeout(stage, got)
		}
	}
}

func aboveLimit(what string, want, got time.Duration) string {
	return fmt.Sprintf("%s: %s %s is above this farm's limit; using %s", pipeline.FileName, what, formatDuration(want), formatDuration(got))
}
