package chaos

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// The order probe: so many projects share so few running builds, one project's builds submitted after the other's.
const (
	probeProjects = 5
	probeEach     = 4
	probeRunning  = 2
	// probeTime bounds the probe: ten rounds of builds, of some seconds each on a busy machine.
	probeTime = 5 * time.Minute
)

func probeNames() (names []string) {
	for i := range probeProjects {
		names = append(names, fmt.Sprintf("probe-%d", i+1))
	}
	return names
}

// orderProbe submits builds of several projects to a farm at rest whose pool is limited, and returns the projects in the order of
// their starts. It records its submits as any client.
func orderProbe(ctx context.Context, c *api.Client, h *history, rng *rand.Rand) ([]string, error) {
	if _, err := c.Rules.SetPool(ctx, build.DefaultPool, api.PoolRule{MaxRunning: probeRunning}); err != nil {
		return nil, fmt.Errorf("limit the pool: %w", err)
	}
	// Other schedulers follow within two seconds.
	if !sleep(ctx, 3*time.Second) {
		return nil, context.Cause(ctx)
	}
	w := &workload{history: h}
	ids := map[string]string{}
	for _, name := range probeNames() {
		for i := range probeEach {
			source, err := project(fmt.Sprintf("%s-%d", name, i), 1<<10, rng)
			if err != nil {
				return nil, err
			}
			if id := w.submitTo(ctx, c, build.Android, name, source); id != "" {
				ids[id] = name
			}
		}
	}
	order, err := startsOf(ctx, c, ids)
	if _, rerr := c.Rules.SetPool(ctx, build.DefaultPool, api.PoolRule{}); err == nil {
		err = rerr
	}
	return order, err
}

// startsOf waits for the ends of builds and returns the projects in the order of the builds' first claims.
func startsOf(ctx context.Context, c *api.Client, ids map[string]string) ([]string, error) {
	type start struct{ at, project string }
	var starts []start
	for id, project := range ids {
		for {
			b, err := c.Builds.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			if b.Final() {
				if len(b.Attempts) > 0 {
					starts = append(starts, start{b.Attempts[0].ClaimedAt, project})
				}
				break
			}
			if !sleep(ctx, 200*time.Millisecond) {
				return nil, context.Cause(ctx)
			}
		}
	}
	slices.SortFunc(starts, func(a, b start) int { return cmp.Compare(a.at, b.at) })
	var order []string
	for _, s := range starts {
		order = append(order, s.project)
	}
	return order, nil
}
