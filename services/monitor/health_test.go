package monitor

import (
	"testing"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

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
