package ingest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
)

// statsV1 are the farm's public figures.
type statsV1 struct {
	NodesOnline      int64   `json:"nodesOnline"`
	BuildsQueued     int64   `json:"buildsQueued"`
	ActiveBuilds     int64   `json:"activeBuilds"`
	BuildsToday      int64   `json:"buildsToday"`
	TotalBuilds      int64   `json:"totalBuilds"`
	TotalBuildTimeMs int64   `json:"totalBuildTimeMs"`
	TotalCPUCycles   float64 `json:"totalCpuCycles"`
}

const (
	// statsAge is how old figures may be: anybody may ask, and asking must cost next to nothing.
	statsAge = 5 * time.Second
	// statsTimeout bounds the question to the scheduler, usageTimeout that to the monitor, without which it goes as well.
	statsTimeout = 5 * time.Second
	usageTimeout = time.Second
)

// statsCache holds the last figures. Its zero value is empty; it is safe for concurrent use.
type statsCache struct {
	flight singleflight.Group
	mu     sync.Mutex
	at     time.Time
	stats  statsV1
	// cpuPercent is the last mean known, of one core.
	cpuPercent float64
}

func (c *statsCache) fresh() (statsV1, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats, !c.at.IsZero() && time.Since(c.at) < statsAge
}

func (c *statsCache) put(s *schedulerv1.StatsResponse, today int64, usage *monitorv1.UsageResponse) statsV1 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if usage != nil {
		c.cpuPercent = usage.GetMeanCpuPercent()
	}
	c.at, c.stats = time.Now(), statsV1{
		NodesOnline: s.GetWorkersOnline(), BuildsQueued: s.GetWaiting(), ActiveBuilds: s.GetActive(), BuildsToday: today,
		TotalBuilds: s.GetEnded(), TotalBuildTimeMs: s.GetBuildMs(),
		TotalCPUCycles: c.cpuPercent / 100 * float64(s.GetBuildMs()) / 1000,
	}
	return c.stats
}

func (g *Ingest) statsV1(w http.ResponseWriter, r *http.Request) {
	s, err := g.currentStats(r.Context())
	if err != nil {
		g.Fail(w, r, httpapi.V1, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, s)
}

// currentStats asks once for all who ask at the same time. The question outlives whoever asked first: others wait for it.
func (g *Ingest) currentStats(ctx context.Context) (statsV1, error) {
	if s, ok := g.stats.fresh(); ok {
		return s, nil
	}
	s, err, _ := g.stats.flight.Do("", func() (any, error) {
		if s, ok := g.stats.fresh(); ok { // it came between our look and the flight
			return s, nil
		}
		return g.askStats(context.WithoutCancel(ctx))
	})
	if err != nil {
		return statsV1{}, err //nolint:wrapcheck // names the question
	}
	return s.(statsV1), nil //nolint:forcetypeassert // see above
}

func (g *Ingest) askStats(ctx context.Context) (statsV1, error) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	usage := make(chan *monitorv1.UsageResponse, 1)
	go func() { usage <- g.askUsage(ctx) }()
	today, counted := g.askToday(ctx)
	s, err := g.farm.Scheduler.Stats(ctx, &schedulerv1.StatsRequest{WithoutToday: counted})
	u := <-usage
	if err != nil {
		return statsV1{}, err
	}
	if !counted {
		today = s.GetCompletedToday()
	}
	return g.stats.put(s, today, u), nil
}

// askToday gives what the monitor has counted of today; not if it does not answer: then the scheduler counts its builds.
func (g *Ingest) askToday(ctx context.Context) (int64, bool) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	t, err := g.farm.Monitor.Today(ctx, &monitorv1.TodayRequest{})
	if err != nil {
		g.log.DebugContext(ctx, "today's builds not counted by the monitor", "err", err)
		return 0, false
	}
	return t.GetCompleted(), true
}

// askUsage gives nil if the monitor does not answer.
func (g *Ingest) askUsage(ctx context.Context) *monitorv1.UsageResponse {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	u, err := g.farm.Monitor.Usage(ctx, &monitorv1.UsageRequest{})
	if err != nil {
		g.log.DebugContext(ctx, "public figures without fresh usage", "err", err)
		return nil
	}
	return u
}
