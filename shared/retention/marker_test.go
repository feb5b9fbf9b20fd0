package retention_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/retention"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// artifact is the far end: it keeps all of a request or, if one is gone, none.
type artifact struct {
	mu       sync.Mutex
	kept     map[string]bool
	requests int
	// away is how many requests fail as those to a process that was killed.
	away int
}

func (a *artifact) keep(_ context.Context, r *artifactv1.KeepRequest) (*artifactv1.KeepResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	if a.away > 0 {
		a.away--
		return nil, build.ErrUnavailable
	}
	if slices.Contains(r.GetObjectIds(), "gone") {
		return nil, build.ErrObjectNotFound
	}
	for _, id := range r.GetObjectIds() {
		a.kept[id] = true
	}
	return &artifactv1.KeepResponse{}, nil
}

func (a *artifact) count() (kept, requests int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.kept), a.requests
}

type bundle struct {
	*artifact
	marker *retention.Marker
	stop   func()
}

func setup(t *testing.T) *bundle {
	t.Helper()
	s, a := bustest.Start(t), &artifact{kept: map[string]bool{}}
	r, err := rpc.NewService(s.Connect("artifact"), "artifact", "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.Handle(r, "keep", a.keep); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	k := retention.NewMarker(s.Connect("asker"), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return &bundle{artifact: a, marker: k, stop: stop}
}

func (b *bundle) await(t *testing.T, n int) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		if kept, _ := b.count(); kept == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			kept, requests := b.count()
			t.Fatalf("%d kept by %d requests, want %d", kept, requests, n)
		}
	}
}

// TestManyGoTogether: a thousand objects are not a thousand requests.
func TestManyGoTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 1000 {
		b.marker.MarkRetained(fmt.Sprint(i))
	}
	b.await(t, 1000)
	if _, requests := b.count(); requests > 100 {
		t.Errorf("%d requests", requests)
	}
}

// TestOneThatIsGoneSpoilsNothing: its neighbours are kept one by one.
func TestOneThatIsGoneSpoilsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.marker.MarkRetained("a", "gone", "b")
	b.await(t, 2)
}

// TestMarkSurvivesADeadService: what an artifact service did not answer is sent again.
func TestMarkSurvivesADeadService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mu.Lock()
	b.away = 2
	b.mu.Unlock()
	b.marker.MarkRetained("a", "b")
	b.await(t, 2)
}

// TestStopSaysWhatWaits: what was to be kept before the stop is.
func TestStopSaysWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.marker.MarkRetained("a", "b", "c")
	b.stop()
	b.await(t, 3)
}
