package reports

import (
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
)

func TestHealthOf(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
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
