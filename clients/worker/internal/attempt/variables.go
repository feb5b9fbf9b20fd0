package attempt

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
)

// variables returns the farm's variables of the build's project and the plan's environment.
func (a *attempt) variables(ctx context.Context, plan pipeline.Plan) ([]*artifactv1.Variable, error) {
	if plan.Environment == "" {
		return nil, nil
	}
	all, digest, err := a.transfers.FetchVariables(ctx, plan.Environment)
	a.made.Environment, a.made.Variables = plan.Environment, digest
	return all, err
}

// addVariables returns the variables of the build: those of the farm, and over them those of the profile.
func (a *attempt) addVariables(ctx context.Context, plan pipeline.Plan, farm []*artifactv1.Variable) map[string]string {
	if len(farm) == 0 {
		if plan.EnvironmentNamed {
			a.logLine(ctx, "info", fmt.Sprintf("environment %s: the farm has no variables of this project", plan.Environment))
		}
		return plan.Env
	}
	env := map[string]string{}
	var names, replaced []string
	for _, v := range farm {
		env[v.GetName()] = v.GetValue()
		if _, own := plan.Env[v.GetName()]; own {
			replaced = append(replaced, v.GetName())
		} else {
			names = append(names, v.GetName())
		}
	}
	line := fmt.Sprintf("environment %s: variables of the farm: %s", plan.Environment, strings.Join(names, ", "))
	if len(names) == 0 {
		line = fmt.Sprintf("environment %s: no variables of the farm", plan.Environment)
	}
	if len(replaced) > 0 {
		line += fmt.Sprintf("; the profile has its own %s", strings.Join(replaced, ", "))
	}
	a.logLine(ctx, "info", line)
	maps.Copy(env, plan.Env)
	return env
}

// hideSecrets masks the values of variables whose names speak of secrets, of the profile and of its steps, and of the farm's that are not plain.
// Those that are too short are named in the log.
func (a *attempt) hideSecrets(ctx context.Context, own []map[string]string, farm []*artifactv1.Variable) {
	secrets := slices.Clone(a.runner.Executor.Secrets())
	hide := func(name, value string) {
		secrets = append(secrets, value)
		if n := len(strings.TrimSpace(value)); n > 0 && n < buildlog.MinSecret {
			a.logLine(ctx, "warn", fmt.Sprintf("%s is not masked in this log: its value has %d characters, and at least %d are needed.", name, n, buildlog.MinSecret))
		}
	}
	for _, env := range own {
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if buildlog.SecretName(name) {
				hide(name, env[name])
			}
		}
	}
	for _, v := range farm { // also if the profile has its own value
		if v.GetVisibility() != artifactv1.Visibility_VISIBILITY_PLAIN {
			hide(v.GetName(), v.GetValue())
		}
	}
	a.mask = buildlog.NewMask(secrets)
}
