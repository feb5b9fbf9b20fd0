package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// TestStatsV2: what the monitor counted, with rates and utilisation, in the words of the API.
func TestStatsV2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	now := time.Now().UTC()
	today := now.Format(time.DateOnly)
	var rebuilds atomic.Int64
	serve(t, f.bus.Connect("monitor"), "monitor", func(s *rpc.Service) error {
		return errors.Join(
			rpc.Handle(s, "stats", func(_ context.Context, r *monitorv1.StatsRequest) (*monitorv1.StatsResponse, error) {
				d := &monitorv1.DayStats{
					Day: today, Submitted: 9, Completed: 3, Failed: 1, LostAttempts: 2, Duration: &monitorv1.Spread{Count: 4, MeanMs: 10, P50Ms: 9, P95Ms: 20},
				}
				if r.GetFromDay() != today || r.GetToDay() != today || r.GetProject() != "app" {
					t.Errorf("asked %v", r)
				}
				return &monitorv1.StatsResponse{
					Total: d, Days: []*monitorv1.DayStats{d, {Day: "2026-01-01"}}, Stages: []*monitorv1.StageStats{{Stage: "pods", Duration: d.GetDuration()}},
					Workers: []*monitorv1.WorkerStats{{WorkerId: "w1", BusyMs: 1_800_000, Attempts: 4}, {WorkerId: "gone", BusyMs: 5}},
				}, nil
			}),
			rpc.Handle(s, "rebuild_stats", func(context.Context, *monitorv1.RebuildStatsRequest) (*monitorv1.RebuildStatsResponse, error) {
				if rebuilds.Add(1) > 1 {
					return nil, build.ErrRebuilding
				}
				return &monitorv1.RebuildStatsResponse{FromDay: today}, nil
			}),
			rpc.Handle(s, "health", func(_ context.Context, r *monitorv1.HealthRequest) (*monitorv1.HealthResponse, error) {
				return &monitorv1.HealthResponse{Workers: []*monitorv1.Health{{WorkerId: "w1", Score: 67, LatestStatus: "warning", LatestAtMs: 1, Reports: 3}}}, nil
			}))
	})
	serve(t, f.bus.Connect("workers"), "scheduler", func(s *rpc.Service) error {
		w := &schedulerv1.Worker{Id: "w1", Name: "mini", Slots: 2, RegisteredAtMs: now.Add(-30 * time.Minute).UnixMilli()}
		return rpc.Handle(s, "list_workers", func(context.Context, *schedulerv1.ListWorkersRequest) (*schedulerv1.ListWorkersResponse, error) {
			return &schedulerv1.ListWorkersResponse{Workers: []*schedulerv1.Worker{w, {Id: "w2", RegisteredAtMs: 1}}}, nil
		})
	})
	var s api.Stats
	r := f.get("/api/v2/stats?from="+today+"&project=app").want(t, 200)
	if err := json.Unmarshal(r.body, &s); err != nil || *s.Total.SuccessRate != 0.75 || s.Total.Duration.P95Ms != 20 || s.Total.QueueWait != nil || len(s.Days) != 2 || s.Days[1].SuccessRate != nil ||
		s.Stages[0].Stage != "pods" || s.Workers[0].Name != "mini" || s.Workers[1].Utilisation != nil {
		t.Errorf("stats = %s", r.body)
	}
	// Half an hour of two slots, or as much of it as is today.
	if u := *s.Workers[0].Utilisation; u < 0.45 || u > 1 {
		t.Errorf("utilisation = %v", u)
	}
	for _, q := range []string{"?from=x", "?to=x", "?day=2026-01-01"} {
		f.get("/api/v2/stats"+q).want(t, 400)
	}
	if m := f.post("/api/v2/stats/rebuild").want(t, 202).json(t); m["from"] != today {
		t.Errorf("rebuilt = %v", m)
	}
	if again := f.post("/api/v2/stats/rebuild").want(t, 409); again.json(t)["code"] != "rebuild_in_progress" {
		t.Errorf("a second rebuild = %s", again.body)
	}
	var list api.WorkerList
	if err := json.Unmarshal(f.get("/api/v2/workers").want(t, 200).body, &list); err != nil || list.Workers[0].Health.Score != 67 || list.Workers[1].Health != nil {
		t.Errorf("workers = %+v, %v", list, err)
	}
	f.do(http.MethodGet, "/api/v2/stats", nil, nil).want(t, 401)
}
