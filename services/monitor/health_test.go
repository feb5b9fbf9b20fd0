package monitor

import (
	"testing"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func TestHealthOf(t *testing.T) {
	t.Parallel()
	now := time.Now()
	mark := func(status string, age time.Duration) store.Mark {
		return store.Mark{Status: status, At: now.Add(-age)}
	}
	for name, c := range map[string]struct {
		marks  []store.Mark
		score  int32
		latest string
	}{
		"well":                   {[]store.Mark{mark("healthy", 0), mark("healthy", 6*day)}, 100, "healthy"},
		"was ill yesterday":      {[]store.Mark{mark("critical", day), mark("healthy", 0)}, 67, "healthy"},
		"ill since now":          {[]store.Mark{mark("critical", 0), mark("healthy", day)}, 33, "critical"},
		"warned":                 {[]store.Mark{mark("warning", 3*time.Hour)}, 60, "warning"},
		"long ago counts little": {[]store.Mark{mark("critical", 6*day), mark("healthy", 0)}, 98, "healthy"},
	} {
		if h := healthOf("w", c.marks, now); h.GetScore() != c.score || h.GetLatestStatus() != c.latest || h.GetReports() != int32(len(c.marks)) {
			t.Errorf("%s: %v, want %d, %s", name, h, c.score, c.latest)
		}
	}
}

func TestHealthIsOfThoseAsked(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		for worker, status := range map[string]string{"mac1": "healthy", "mac2": "critical"} {
			_, err := b.AddReport(t.Context(), &monitorv1.AddReportRequest{Report: &monitorv1.Report{WorkerId: worker, Status: status, ChecksJson: []byte("[]")}})
			if err != nil {
				t.Fatal(err)
			}
		}
		all, err := b.Health(t.Context(), &monitorv1.HealthRequest{})
		if err != nil || len(all.GetWorkers()) != 2 || all.GetWorkers()[0].GetScore() != 100 || all.GetWorkers()[1].GetScore() != 0 {
			t.Errorf("Health = %v, %v", all, err)
		}
		one, err := b.Health(t.Context(), &monitorv1.HealthRequest{WorkerIds: []string{"mac2", "mac3"}})
		if err != nil || len(one.GetWorkers()) != 1 || one.GetWorkers()[0].GetWorkerId() != "mac2" {
			t.Errorf("Health = %v, %v", one, err)
		}
	})
}
