package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// limits are the most that a build's profile may ask for; 0 is nothing.
type limits struct{ build, silence time.Duration }

func limitsOf(resp *schedulerv1.ClaimResponse) limits {
	return limits{
		build:   time.Duration(resp.GetMaxTimeoutSeconds()) * time.Second,
		silence: time.Duration(resp.GetMaxStageTtlSeconds()) * time.Second,
	}
}

// adopt takes over the timeouts of the build's profile, within the farm's limits. What is above them is cut, and said.
func (a *attempt) adopt(ctx context.Context, plan pipeline.Plan) {
	if want := plan.Timeout; want > 0 {
		got := min(want, a.limits.build)
		if got < want {
			a.say(ctx, "warn", fmt.Sprintf("%s: a timeout of %s is more than this farm allows: %s", pipeline.FileName, roughly(want), roughly(max(got, a.timeout))))
		}
		if got > 0 {
			a.timeout = got
			a.clock.Reset(got - time.Since(a.began))
			a.reporter.asked(got)
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(plan.Silences)) {
		want := plan.Silences[stage]
		got := min(want, a.limits.silence)
		if got < want {
			a.say(ctx, "warn", fmt.Sprintf("%s: %s of silence in stage %s is more than this farm allows: %s",
				pipeline.FileName, roughly(want), stage, roughly(a.limits.silence)))
		}
		if got > 0 {
			a.keeper.forgive(stage, got)
		}
	}
}
