package scheduler

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// poller registers a worker that has no connection to the bus.
func (b *bundle) poller(platforms ...string) string {
	b.t.Helper()
	id := build.NewID()
	_, err := b.RegisterWorker(b.t.Context(), &schedulerv1.RegisterWorkerRequest{
		WorkerId: id, Name: "mini", Platforms: platforms, Polls: true,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// poll returns the id of what the worker shall build, "" for nothing.
func (b *bundle) poll(worker string) string {
	b.t.Helper()
	resp, err := b.Poll(b.t.Context(), &schedulerv1.PollRequest{WorkerId: worker})
	if err != nil {
		b.t.Fatalf("Poll: %v", err)
	}
	return resp.GetBuild().GetId()
}

func (b *bundle) fail(worker, id string, attempt int32) {
	b.t.Helper()
	_, err := b.Finish(b.t.Context(), worker, &schedulerv1.FinishRequest{BuildId: id, Attempt: attempt, Outcome: failed})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestPollGivesTheFirstBuildItCan: the oldest of its platforms, the same again until it is finished, then the next.
func TestPollGivesTheFirstBuildItCan(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.poller("ios")
		if id := b.poll(w); id != "" {
			t.Fatalf("an empty queue gave %s", id)
		}
		android, first, second := b.submit("app", "android", 0), b.submit("app", "ios", 0), b.submit("app", "ios", 0)
		for range 3 {
			if id := b.poll(w); id != first.GetId() {
				t.Fatalf("poll gave %s, want %s", id, first.GetId())
			}
		}
		b.fail(w, first.GetId(), 1)
		if id := b.poll(w); id != second.GetId() {
			t.Errorf("poll gave %s, want %s", id, second.GetId())
		}
		b.fail(w, second.GetId(), 1)
		if id := b.poll(w); id != "" {
			t.Errorf("an ios worker was given %s", id)
		}
		if id := b.poll(b.poller()); id != android.GetId() {
			t.Errorf("a worker that names no platform was given %q, want %s", id, android.GetId())
		}
	})
}

// TestPollGoesByPriorityAndProject as a hand-out on the bus does.
func TestPollGoesByPriorityAndProject(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	greedy := []*schedulerv1.Build{b.submit("greedy", "ios", 0), b.submit("greedy", "ios", 0)}
	modest, urgent := b.submit("modest", "ios", 0), b.submit("greedy", "ios", 5)
	for i, want := range []*schedulerv1.Build{urgent, modest, greedy[0], greedy[1]} {
		if id := b.poll(b.poller()); id != want.GetId() {
			t.Errorf("poll %d gave %s, want %s", i, id, want.GetId())
		}
	}
}

// TestPollersAndNativesShareTheQueue: whoever is quicker has it, and nobody has what another has.
func TestPollersAndNativesShareTheQueue(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		const pollers, builds = 12, 10
		native := b.worker(2)
		ids := make([]string, pollers)
		for i := range ids {
			ids[i] = b.poller()
		}
		submitted := map[string]bool{}
		for range builds {
			submitted[b.submit("app", "ios", 0).GetId()] = true
		}
		var mu sync.Mutex
		given := map[string][]string{}
		take := func(worker, id string) {
			mu.Lock()
			defer mu.Unlock()
			given[id] = append(given[id], worker)
		}
		var wg sync.WaitGroup
		for _, w := range ids {
			for range 2 { // a second poll at the same moment, as after a time-out
				wg.Go(func() {
					resp, err := b.Poll(t.Context(), &schedulerv1.PollRequest{WorkerId: w})
					if err != nil {
						t.Errorf("Poll: %v", err)
					} else if id := resp.GetBuild().GetId(); id != "" {
						take(w, id)
					}
				})
			}
		}
		for id := range submitted {
			wg.Go(func() {
				_, err := b.Claim(t.Context(), native, &schedulerv1.ClaimRequest{BuildId: id, Attempt: 1})
				switch {
				case err == nil:
					take(native, id)
				case build.Code(err) == build.CodeInternal:
					t.Errorf("Claim: %v", err)
				}
			})
		}
		wg.Wait()
		wantOneEach(t, native, submitted, given)
		for _, w := range ids { // what is left goes to those that ask again
			if id := b.poll(w); id != "" {
				given[id] = append(given[id], w)
			}
		}
		if len(given) != builds {
			t.Errorf("%d of %d builds were given", len(given), builds)
		}
	})
}

// wantOneEach: a build is one worker's, and a poller has one build.
func wantOneEach(t *testing.T, native string, submitted map[string]bool, given map[string][]string) {
	t.Helper()
	holds := map[string]string{}
	for id, workers := range given {
		for _, w := range workers {
			if w != workers[0] || !submitted[id] {
				t.Errorf("build %s was given to %v", id, workers)
			}
			if w != native && holds[w] != "" && holds[w] != id {
				t.Errorf("worker %s was given %s and %s", w, holds[w], id)
			}
			holds[w] = id
		}
	}
}

func TestPollersAreNotOfferedBuildsOnTheBus(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.poller("ios")
	v := b.submit("app", "ios", 0)
	if err := b.dispatch.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.state(v.GetId(), build.Pending); got.GetWaitingFor() != "a worker is about to take it" {
		t.Errorf("it waits for %q", got.GetWaitingFor())
	}
	if id := b.poll(w); id != v.GetId() {
		t.Errorf("poll gave %q", id)
	}
	want := []string{"submitted", "queued", "assigned"}
	if got := b.events(v.GetId()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events = %v, want %v", got, want)
	}
}

// TestWithdrawnWorker's build goes to the next at once, and its own words count no more.
func TestWithdrawnWorker(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.poller()
		v := b.submit("app", "ios", 0)
		b.poll(w)
		if _, err := b.WithdrawWorker(t.Context(), &schedulerv1.WithdrawWorkerRequest{WorkerId: w}); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"withdraw": second(b.WithdrawWorker(t.Context(), &schedulerv1.WithdrawWorkerRequest{WorkerId: w})),
			"poll":     second(b.Poll(t.Context(), &schedulerv1.PollRequest{WorkerId: w})),
			"get":      second(b.GetWorker(t.Context(), &schedulerv1.GetWorkerRequest{WorkerId: w})),
		} {
			if !errors.Is(err, build.ErrWorkerUnknown) {
				t.Errorf("%s = %v, want %v", name, err, build.ErrWorkerUnknown)
			}
		}
		if id := b.poll(b.poller()); id != v.GetId() {
			t.Errorf("the next worker was given %q, want %s", id, v.GetId())
		}
		if got := b.state(v.GetId(), build.Assigned); got.GetAttempt() != 2 {
			t.Errorf("build = %v, want attempt 2", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestFiguresAreTrue of the farm, a worker and the list.
func TestFiguresAreTrue(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		store := serveArtifacts(t, b.srv)
		w := b.poller("ios")
		done, broken, running := b.submit("one", "ios", 0), b.submit("one", "ios", 0), b.submit("two", "ios", 0)
		b.submit("two", "android", 0)
		cancelled := b.submit("two", "android", 0)
		if _, err := b.Cancel(t.Context(), &schedulerv1.CancelRequest{BuildId: cancelled.GetId()}); err != nil {
			t.Fatal(err)
		}
		// The second goes first to whoever has less: fairness is not what this test is about.
		for range 3 {
			switch id := b.poll(w); id {
			case done.GetId():
				b.skew.Add(int64(time.Minute))
				if _, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{
					BuildId: id, Attempt: 1, Outcome: completed, ResultObjectId: store.store(id, 1),
				}); err != nil {
					t.Fatal(err)
				}
			case broken.GetId():
				b.fail(w, id, 1)
			case running.GetId():
				b.fail(w, id, 1)
				running = b.submit("two", "ios", 0)
			}
		}
		b.poll(w)
		stats, err := b.Stats(t.Context(), &schedulerv1.StatsRequest{})
		if err != nil || stats.GetWorkersOnline() != 1 || stats.GetWaiting() != 1 || stats.GetActive() != 1 ||
			stats.GetCompletedToday() != 1 || stats.GetEnded() != 3 || stats.GetBuildMs() < 60_000 || stats.GetBuildMs() > 80_000 {
			t.Errorf("Stats = %v, %v", stats, err)
		}
		got, err := b.GetWorker(t.Context(), &schedulerv1.GetWorkerRequest{WorkerId: w})
		if err != nil || got.GetCompleted() != 1 || got.GetFailed() != 2 || got.GetWorker().GetHeld() != 1 || !got.GetWorker().GetPolls() {
			t.Errorf("GetWorker = %v, %v", got, err)
		}
		for name, c := range map[string]struct {
			r    *schedulerv1.ListRequest
			want int
		}{
			"project":  {&schedulerv1.ListRequest{Project: "one"}, 2},
			"platform": {&schedulerv1.ListRequest{Platform: "android"}, 2},
			"worker":   {&schedulerv1.ListRequest{WorkerId: w}, 4},
			"all":      {&schedulerv1.ListRequest{Project: "two", Platform: "android", States: []string{"cancelled"}}, 1},
		} {
			if resp, err := b.List(t.Context(), c.r); err != nil || len(resp.GetBuilds()) != c.want {
				t.Errorf("List by %s = %v, %v, want %d", name, resp.GetBuilds(), err, c.want)
			}
		}
	})
}

// TestWorkersOfOneNameMerge: the former app registers anew at each start.
func TestWorkersOfOneNameMerge(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		old, older, online := b.poller(), b.poller(), b.worker(1)
		for _, w := range []string{older, old} {
			b.skew.Add(int64(time.Minute))
			if err := b.registry.Offline(t.Context(), w, b.now()); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := b.ListWorkers(t.Context(), &schedulerv1.ListWorkersRequest{})
		if err != nil || len(resp.GetWorkers()) != 2 || resp.GetWorkers()[0].GetId() != online || resp.GetWorkers()[1].GetId() != old {
			t.Errorf("ListWorkers = %v, %v, want %s and %s", resp, err, online, old)
		}
	})
}

func TestNotesAreInTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	resp, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Platform: "ios", Source: &eventsv1.ObjectRef{ObjectId: "o"}, Notes: []string{"no certificates"},
	})
	if err != nil || len(resp.GetWarnings()) != 2 || resp.GetWarnings()[1] != "no certificates" {
		t.Errorf("Submit = %v, %v", resp, err)
	}
}
