package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestFirstBuildReplacesTheGuess: a new project's expected duration is right seconds after its first build, not a minute.
func TestFirstBuildReplacesTheGuess(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	e, err := newEstimates(&Dispatcher{machine: &transition.Machine{}})
	if err != nil {
		t.Fatal(err)
	}
	e.took = func(context.Context, string, build.Platform, int) ([]time.Duration, error) { return took, nil }
	b := store.Build{Project: "app", Platform: build.IOS}
	cost := func() time.Duration {
		e.prepare(t.Context(), []store.Build{b})
		return e.cost(b)
	}
	if got := cost(); got != estimateUnknown {
		t.Errorf("cost without a build = %s, want %s", got, estimateUnknown)
	}
	took = []time.Duration{90 * time.Second}
	k := estimateKey{b.Project, b.Platform}
	e.known.Add(k, estimate[time.Duration]{at: time.Now().Add(-estimateRetry)})
	if got := cost(); got != 90*time.Second {
		t.Errorf("cost after the first build = %s, want 90s", got)
	}
	took = []time.Duration{time.Hour}
	if got := cost(); got != 90*time.Second {
		t.Errorf("cost right afterwards = %s, want 90s: a known median is used for %s", got, estimateFresh)
	}
}
