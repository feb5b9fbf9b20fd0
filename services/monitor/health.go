package monitor

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
)

const (
	// healthSpan is how old a report may be that says something of a worker's health; one counts half as much as one that is
	// halfLife younger.
	healthSpan = 7 * day
	halfLife   = day
)

// worth of a report's status, of 100.
func worth(status string) float64 {
	switch status {
	case "healthy":
		return 100
	case "warning":
		return 60
	default:
		return 0
	}
}

// Health draws a score from each worker's reports of the last week: the mean of what they are worth (healthy 100, warning 60,
// critical 0), each weighing half as much as one a day younger. Workers without reports have none.
func (m *Monitor) Health(ctx context.Context, r *monitorv1.HealthRequest) (*monitorv1.HealthResponse, error) {
	now := m.now()
	marks, err := m.store.Marks(ctx, now.Add(-healthSpan))
	if err != nil {
		return nil, err
	}
	resp := &monitorv1.HealthResponse{}
	for worker, all := range marks {
		if len(r.GetWorkerIds()) == 0 || slices.Contains(r.GetWorkerIds(), worker) {
			resp.Workers = append(resp.Workers, healthOf(worker, all, now))
		}
	}
	slices.SortFunc(resp.GetWorkers(), func(a, b *monitorv1.Health) int { return strings.Compare(a.GetWorkerId(), b.GetWorkerId()) })
	return resp, nil
}

func healthOf(worker string, all []store.Mark, now time.Time) *monitorv1.Health {
	h := &monitorv1.Health{WorkerId: worker, Reports: int32(len(all))} // at most 500
	sum, weights := 0.0, 0.0
	for _, x := range all {
		if x.At.UnixMilli() >= h.GetLatestAtMs() {
			h.LatestAtMs, h.LatestStatus = x.At.UnixMilli(), x.Status
		}
		weight := math.Exp2(-float64(now.Sub(x.At)) / float64(halfLife))
		sum, weights = sum+weight*worth(x.Status), weights+weight
	}
	h.Score = int32(math.Round(sum / weights))
	return h
}
