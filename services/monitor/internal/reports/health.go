package reports

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
	// healthSpan is how old a report may be that counts for a worker's health. A report counts half as much as one that is halfLife
	// younger.
	healthSpan = 7 * 24 * time.Hour
	halfLife   = 24 * time.Hour
)

// score of a report's status, of 100.
func score(status string) float64 {
	switch status {
	case "healthy":
		return 100
	case "warning":
		return 60
	default:
		return 0
	}
}

// Health returns a score of each worker from its reports of the last week: the mean of their scores (healthy 100, warning 60,
// critical 0), each with half the weight of one a day younger. Workers without reports have none.
func (s *Reports) Health(ctx context.Context, req *monitorv1.HealthRequest) (*monitorv1.HealthResponse, error) {
	now := time.Now()
	marks, err := s.store.Marks(ctx, now.Add(-healthSpan))
	if err != nil {
		return nil, err
	}
	resp := &monitorv1.HealthResponse{}
	for worker, all := range marks {
		if len(req.GetWorkerIds()) == 0 || slices.Contains(req.GetWorkerIds(), worker) {
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
		sum, weights = sum+weight*score(x.Status), weights+weight
	}
	h.Score = int32(math.Round(sum / weights))
	return h
}
