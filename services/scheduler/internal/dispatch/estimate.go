package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// estimateFresh is how long an expected duration is used before it is read again.
	estimateFresh = time.Minute
	// estimateOf is how many of a project's last completed builds its median is taken of.
	estimateOf = 21
	// maxEstimates bounds the projects that are remembered.
	maxEstimates = 20_000
	// estimateRetry is how soon a project without a completed build is looked at again: its first one replaces a guess.
	estimateRetry = 2 * time.Second
	// estimateUnknown is what a build of a project without a completed one is expected to take.
	estimateUnknown = 10 * time.Minute
	// estimateLeast and estimateMost bound what a build counts as in the fair order.
	estimateLeast, estimateMost = time.Second, 4 * time.Hour
	// stagesWait bounds the question to the monitor for the medians of stages; without an answer the build's median serves.
	stagesWait = 2 * time.Second
	stagesDays = 14
)

type estimateKey struct {
	project  string
	platform build.Platform
}

// estimate is a figure and when it was read.
type estimate[T any] struct {
	value T
	at    time.Time
}

func (e estimate[T]) fresh() bool { return time.Since(e.at) < estimateFresh }

// estimates are the expected durations of builds: medians of what completed. It is safe for concurrent use.
type estimates struct {
	took   func(context.Context, string, build.Platform, int) ([]time.Duration, error)
	stages func(context.Context, string) (map[string]time.Duration, error)

	known *lru.Cache[estimateKey, estimate[time.Duration]]
	// byStage has the medians of a project's stages.
	byStage *lru.Cache[string, estimate[map[string]time.Duration]]
	mu      sync.Mutex
	// last is the median that was read last, for projects that have none.
	last time.Duration
}

func newEstimates(d *Dispatcher) (*estimates, error) {
	known, err := lru.New[estimateKey, estimate[time.Duration]](maxEstimates)
	if err != nil {
		return nil, err
	}
	byStage, err := lru.New[string, estimate[map[string]time.Duration]](maxEstimates)
	if err != nil {
		return nil, err
	}
	return &estimates{took: d.machine.Store.Took, stages: d.stageMedians, last: estimateUnknown, known: known, byStage: byStage}, nil
}

// prepare reads the expected durations of some builds. One that cannot be read is the usual one.
func (e *estimates) prepare(ctx context.Context, builds []store.Build) {
	for _, b := range builds {
		k := estimateKey{b.Project, b.Platform}
		if known, ok := e.known.Get(k); ok && (known.value > 0 && known.fresh() || time.Since(known.at) < estimateRetry) {
			continue
		}
		took, err := e.took(ctx, b.Project, b.Platform, estimateOf)
		switch {
		case err != nil:
			return
		case len(took) == 0:
			e.known.Add(k, estimate[time.Duration]{at: time.Now()})
		default:
			slices.Sort(took)
			median := took[len(took)/2]
			e.known.Add(k, estimate[time.Duration]{median, time.Now()})
			e.mu.Lock()
			e.last = median
			e.mu.Unlock()
		}
	}
}

// cost returns what a build is expected to take, from its assignment.
func (e *estimates) cost(b store.Build) time.Duration {
	known, _ := e.known.Get(estimateKey{b.Project, b.Platform})
	d := known.value
	if d == 0 {
		e.mu.Lock()
		d = e.last
		e.mu.Unlock()
	}
	return min(max(d, estimateLeast), estimateMost)
}

// remaining returns what a running build is expected to take from now: the medians of its present stage and of those after it,
// less what it has spent; where no stages are known, the whole build's. One that takes longer than usual is given a tenth more.
func (e *estimates) remaining(ctx context.Context, b store.Build, now time.Time) time.Duration {
	whole := e.cost(b)
	left := whole - now.Sub(b.AssignedAt)
	if b.Stage != "" {
		if stages := e.ofStages(ctx, b.Project); len(stages) > 0 {
			left = stagesLeft(stages, b.Stage, now.Sub(b.StageAt))
		}
	}
	return max(left, whole/10, time.Second)
}

// stagesLeft sums the medians from a stage on. Stages that are not the product's own count by their order of name only: as nothing.
func stagesLeft(medians map[string]time.Duration, stage string, spent time.Duration) time.Duration {
	left := max(0, medians[stage]-spent)
	after := false
	for _, s := range build.Stages() {
		if after {
			left += medians[string(s)]
		}
		after = after || string(s) == stage
	}
	return left
}

func (e *estimates) ofStages(ctx context.Context, project string) map[string]time.Duration {
	if known, ok := e.byStage.Get(project); ok && known.fresh() {
		return known.value
	}
	stages, err := e.stages(ctx, project)
	if err != nil {
		stages = nil // the whole build's median serves; asked again once this has expired
	}
	e.byStage.Add(project, estimate[map[string]time.Duration]{stages, time.Now()})
	return stages
}

// stageMedians asks the monitor how long a project's stages take.
func (d *Dispatcher) stageMedians(ctx context.Context, project string) (map[string]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stagesWait)
	defer cancel()
	now := d.machine.Now()
	resp, err := d.monitor.Stats(ctx, &monitorv1.StatsRequest{
		Project: project, FromDay: now.AddDate(0, 0, -stagesDays).Format(time.DateOnly), ToDay: now.Format(time.DateOnly),
	})
	if err != nil {
		return nil, err
	}
	medians := map[string]time.Duration{}
	for _, st := range resp.GetStages() {
		medians[st.GetStage()] = time.Duration(st.GetDuration().GetP50Ms()) * time.Millisecond
	}
	return medians, nil
}
