package order

import (
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// DefaultWeight is the weight of a project without a rule of its own.
const DefaultWeight = 10

// Rules are the farm's settings for the order of builds.
type Rules struct {
	// AgeEvery is how long a build waits until its effective priority rises by one; 0 means never.
	AgeEvery time.Duration
	Projects map[string]Project
	Pools    map[string]Pool
}

// Project is the rule of one project. A zero field means the farm's default.
type Project struct {
	// Weight is the project's share relative to others; DefaultWeight if 0.
	Weight int32
	// MaxRunning bounds its builds that run or are on offer, over all pools; 0 means no bound.
	MaxRunning int32
}

// Pool is the rule of one pool.
type Pool struct {
	// MaxRunning bounds its builds that run or are on offer; 0 means no bound.
	MaxRunning int32
}

func (r Rules) weight(project string) float64 {
	if w := r.Projects[project].Weight; w > 0 {
		return float64(w) / DefaultWeight
	}
	return 1
}

// effective returns a build's priority, raised by its age but not above top.
func (r Rules) effective(priority int32, waited time.Duration, top int32) int32 {
	if r.AgeEvery <= 0 || priority >= top || waited < r.AgeEvery {
		return priority
	}
	raised := int64(priority) + int64(waited/r.AgeEvery)
	return int32(min(raised, int64(top))) // at most top, an int32
}

// Tag returns b with the tags of a build that is dispatched now, in a lane of this virtual time, for a project with this finish tag.
func (r Rules) Tag(b store.Build, virtual, finish float64, cost time.Duration) store.Build {
	b.VStart = max(virtual, finish)
	b.VFinish = b.VStart + cost.Minutes()/r.weight(b.Project)
	return b
}

// usage is what lanes have in common: the numbers of running builds, for limits, and the clock of each pool and platform.
type usage struct {
	projects, pools map[string]int
	clocks          map[store.Lane]*clock
}

func newUsage() *usage {
	return &usage{projects: map[string]int{}, pools: map[string]int{}, clocks: map[store.Lane]*clock{}}
}

func (u *usage) add(pool, project string, n int) {
	u.projects[project] += n
	u.pools[pool] += n
}

func (u *usage) projectFull(r Rules, project string) bool {
	limit := r.Projects[project].MaxRunning
	return limit > 0 && u.projects[project] >= int(limit)
}

func (u *usage) poolFull(r Rules, pool string) bool {
	limit := r.Pools[pool].MaxRunning
	return limit > 0 && u.pools[pool] >= int(limit)
}
