package scheduler

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxWaiting = 2
	b := setupWith(t, sqlite(t), bustest.Start(t), cfg)
	src := &eventsv1.ObjectRef{ObjectId: "o"}
	for name, r := range map[string]*schedulerv1.SubmitRequest{
		"no platform": {BuildId: "a", Source: src},
		"bad id":      {BuildId: "a b", Platform: "ios", Source: src},
		"bad pool":    {BuildId: "a", Platform: "ios", Pool: "x.y", Source: src},
		"bad project": {BuildId: "a", Platform: "ios", Project: "x\ny", Source: src},
		"no source":   {BuildId: "a", Platform: "ios"},
	} {
		if _, err := b.Submit(t.Context(), r); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s: Submit = %v, want invalid", name, err)
		}
	}
	first := b.submit("app", "ios", 0)
	same, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{BuildId: first.GetId(), Platform: "ios", Source: first.GetSource()})
	if err != nil || same.GetBuild().GetSeq() != first.GetSeq() || !same.GetReplayed() {
		t.Errorf("a repeated submit = %v, %v, want the same build, replayed", same, err)
	}
	b.submit("app", "ios", 0)
	_, err = b.Submit(t.Context(), &schedulerv1.SubmitRequest{BuildId: build.NewID(), Platform: "ios", Source: src})
	if !errors.Is(err, build.ErrQueueFull) {
		t.Errorf("Submit beyond the bound = %v, want queue full", err)
	}
	same, err = b.Submit(t.Context(), &schedulerv1.SubmitRequest{BuildId: first.GetId(), Platform: "ios", Source: first.GetSource()})
	if err != nil || same.GetBuild().GetSeq() != first.GetSeq() || !same.GetReplayed() {
		t.Errorf("a repeated submit while the queue is full = %v, %v, want the same build", same, err)
	}
	if _, err := b.Cancel(t.Context(), &schedulerv1.CancelRequest{BuildId: first.GetId()}); err != nil {
		t.Fatal(err)
	}
	// The figure is counted anew before a submit is refused, though not for each of a flood.
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		_, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{BuildId: build.NewID(), Platform: "ios", Source: src})
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("Submit into a place that became free = %v", err)
		}
	}
}

func TestWaitingForSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	resp, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{BuildId: build.NewID(), Platform: "ios", Source: &eventsv1.ObjectRef{ObjectId: "o"}})
	if err != nil || len(resp.GetWarnings()) != 1 {
		t.Fatalf("Submit without a worker = %v, %v, want a warning", resp, err)
	}
	got := b.state(resp.GetBuild().GetId(), build.Pending)
	if got.GetWaitingFor() != resp.GetWarnings()[0] || got.GetPosition() != 1 {
		t.Errorf("waiting for %q at %d, want %q at 1", got.GetWaitingFor(), got.GetPosition(), resp.GetWarnings()[0])
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		var want []string
		for range 5 {
			want = append([]string{b.submit("app", "ios", 0).GetId()}, want...)
		}
		var got []string
		for req := (&schedulerv1.ListRequest{Limit: 2}); ; {
			page, err := b.List(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.GetBuilds() {
				got = append(got, v.GetId())
			}
			if req.BeforeSeq = page.GetNextBeforeSeq(); req.GetBeforeSeq() == 0 {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	})
}
