package idle_test

import (
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/idle"
	"github.com/expo-free-agent/freeagent/shared/api"
)

func TestStuckBuildsAreSeen(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	b := api.Build{ID: "b", Pool: "default", Platform: "ios", Status: "queued", Attempt: 1}
	mac := api.Worker{ID: "w", Pool: "default", Platforms: []string{"ios"}, Online: true}
	for name, tt := range map[string]struct {
		change func(second int, b *api.Build, w *api.Worker)
		want   int
	}{
		"an idle worker and a waiting build": {func(int, *api.Build, *api.Worker) {}, 1},
		"the worker is busy now and then":    {func(s int, _ *api.Build, w *api.Worker) { w.Held = s / 20 % 2 }, 0},
		"the build is taken and lost":        {func(s int, b *api.Build, _ *api.Worker) { b.Attempt = 1 + s/25 }, 0},
		"the build runs":                     {func(s int, b *api.Build, _ *api.Worker) { b.Status = "building" }, 0},
		"another platform":                   {func(_ int, b *api.Build, _ *api.Worker) { b.Platform = "android" }, 0},
		"another pool":                       {func(_ int, b *api.Build, _ *api.Worker) { b.Pool = "big" }, 0},
		"the worker drains":                  {func(_ int, _ *api.Build, w *api.Worker) { w.Draining = true }, 0},
		"the worker is away":                 {func(_ int, _ *api.Build, w *api.Worker) { w.Online = false }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var watch idle.Watch
			for s := range 60 {
				b, w := b, mac
				tt.change(s, &b, &w)
				watch.Look(noon.Add(time.Duration(s)*time.Second), []api.Build{b}, []api.Worker{w})
			}
			if got := len(watch.Stuck()); got != tt.want {
				t.Errorf("%d stuck builds, want %d: %v", got, tt.want, watch.Stuck())
			}
		})
	}
}
