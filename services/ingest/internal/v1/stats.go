package v1

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// stats are the public statistics.
type stats struct {
	NodesOnline      int64   `json:"nodesOnline"`
	BuildsQueued     int64   `json:"buildsQueued"`
	ActiveBuilds     int64   `json:"activeBuilds"`
	BuildsToday      int64   `json:"buildsToday"`
	TotalBuilds      int64   `json:"totalBuilds"`
	TotalBuildTimeMs int64   `json:"totalBuildTimeMs"`
	TotalCPUCycles   float64 `json:"totalCpuCycles"`
}

const (
	// statsAge is the lifetime of cached statistics. They are public, so requests must be cheap.
	statsAge = 5 * time.Second
	// statsTimeout bounds the request to the scheduler, usageTimeout the optional ones to the
	// monitor.
	statsTimeout = 5 * time.Second
	usageTimeout = time.Second
)

// statsCache caches the statistics. The zero value is empty. It is safe for concurrent use.
type statsCache struct {
	flight singleflight.Group
	mu     sync.Mutex
	at     time.Time
	stats  stats
	// cpuPercent is the last known mean, 100 for one core.
	cpuPercent float64
}

// publicStats has the handler of the public statistics.
type publicStats struct {
	*API

	cache statsCache
}

func (c *statsCache) fresh() (stats, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats, !c.at.IsZero() && time.Since(c.at) < statsAge
}

func (c *statsCache) put(s *schedulerv1.StatsResponse, today int64, usage *monitorv1.UsageResponse) stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if usage != nil {
		c.cpuPercent = usage.GetMeanCpuPercent()
	}
	c.at, c.stats = time.Now(), stats{
		NodesOnline: s.GetWorkersOnline(), BuildsQueued: s.GetWaiting(), ActiveBuilds: s.GetActive(), BuildsToday: today,
		TotalBuilds: s.GetEnded(), TotalBuildTimeMs: s.GetBuildMs(),
		TotalCPUCycles: c.cpuPercent / 100 * float64(s.GetBuildMs()) / 1000,
	}
	return c.stats
}

func (h *publicStats) stats(w http.ResponseWriter, r *http.Request) {
	s, err := h.currentStats(r.Context())
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, s)
}

// currentStats fetches once for all concurrent requests. The fetch outlives the request that
// started it, since others wait for it.
func (h *publicStats) currentStats(ctx context.Context) (stats, error) {
	if s, ok := h.cache.fresh(); ok {
		return s, nil
	}
	s, err, _ := h.cache.flight.Do("", func() (any, error) {
		if s, ok := h.cache.fresh(); ok { // it came between our look and the flight
			return s, nil
		}
		return h.fetchStats(context.WithoutCancel(ctx))
	})
	if err != nil {
		return stats{}, err
	}
	return s.(stats), nil //nolint:forcetypeassert // see above
}

func (h *publicStats) fetchStats(ctx context.Context) (stats, error) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	usage := make(chan *monitorv1.UsageResponse, 1)
	go func() { usage <- h.fetchUsage(ctx) }()
	today, counted := h.fetchToday(ctx)
	s, err := h.Farm.Scheduler.Stats(ctx, &schedulerv1.StatsRequest{WithoutToday: counted})
	u := <-usage
	if err != nil {
		return stats{}, err
	}
	if !counted {
		today = s.GetCompletedToday()
	}
	return h.cache.put(s, today, u), nil
}

// fetchToday returns today's completed builds from the monitor, false if it is unavailable. Then
// the scheduler counts them.
func (h *publicStats) fetchToday(ctx context.Context) (int64, bool) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	t, err := h.Farm.Monitor.Today(ctx, &monitorv1.TodayRequest{})
	if err != nil {
		h.Log.DebugContext(ctx, "read today's builds failed", "err", err)
		return 0, false
	}
	return t.GetCompleted(), true
}

// fetchUsage returns nil if the monitor is unavailable.
func (h *publicStats) fetchUsage(ctx context.Context) *monitorv1.UsageResponse {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	u, err := h.Farm.Monitor.Usage(ctx, &monitorv1.UsageRequest{})
	if err != nil {
		h.Log.DebugContext(ctx, "read usage failed", "err", err)
		return nil
	}
	return u
}
