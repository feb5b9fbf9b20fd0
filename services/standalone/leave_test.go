package standalone_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestWorkerThatStopsIsOffline: a worker that was stopped is not counted on for another moment, and comes back when it starts again.
func TestWorkerThatStopsIsOffline(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	for range 2 {
		worker := f.worker("mac", "")
		f.completedOnce(f.submit())
		worker.stop()
		list, err := f.client().Workers.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Workers) != 1 || list.Workers[0].Online || list.Workers[0].Draining {
			t.Errorf("workers after the stop = %+v, want one that is offline", list)
		}
		sub, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: bytes.NewReader(packed(t, map[string]string{"a": "b"}).Bytes())})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(sub.Warnings, func(w string) bool { return w != "" }) {
			t.Errorf("a submit without a worker has no warning")
		}
		if _, err := f.client().Builds.Cancel(t.Context(), sub.ID); err != nil {
			t.Fatal(err)
		}
	}
}
