package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// drain has polling workers take and finish builds until so many have started, and returns their projects in the order of their starts.
func (b *bundle) drain(slots, starts int) []string {
	b.t.Helper()
	type running struct {
		worker string
		build  *schedulerv1.Build
	}
	var order []string
	var busy []running
	for len(order) < starts {
		worker := ""
		if len(busy) == slots { // the oldest ends, its worker asks again
			worker = busy[0].worker
			_, err := b.Finish(b.t.Context(), worker, &schedulerv1.FinishRequest{
				BuildId: busy[0].build.GetId(), Attempt: busy[0].build.GetAttempt(), Outcome: failed,
			})
			if err != nil {
				b.t.Fatal(err)
			}
			busy = busy[1:]
		} else {
			worker = build.NewID()
			_, err := b.RegisterWorker(b.t.Context(), &schedulerv1.RegisterWorkerRequest{WorkerId: worker, Name: worker, Polls: true})
			if err != nil {
				b.t.Fatal(err)
			}
		}
		resp, err := b.Poll(b.t.Context(), &schedulerv1.PollRequest{WorkerId: worker})
		if err != nil || resp.GetBuild() == nil {
			b.t.Fatalf("Poll %d = %v, %v", len(order), resp, err)
		}
		order, busy = append(order, resp.GetBuild().GetProject()), append(busy, running{worker, resp.GetBuild()})
	}
	return order
}

// TestFifthProjectStartsWithinTheFirstFive is five projects that share two slots.
func TestFifthProjectStartsWithinTheFirstFive(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		for p := range 5 {
			for range 12 {
				b.submit(fmt.Sprint("p", p+1), "ios", 0)
			}
		}
		order := b.drain(2, 20)
		first := map[string]int{}
		for i, p := range order {
			if _, seen := first[p]; !seen {
				first[p] = i + 1
			}
		}
		if want := map[string]int{"p1": 1, "p2": 2, "p3": 3, "p4": 4, "p5": 5}; !cmp.Equal(first, want) {
			t.Errorf("first starts = %v, want %v (order %v)", first, want, order)
		}
	})
}

// TestFairnessSurvivesARestart: the memory of who was served is in SQL.
func TestFairnessSurvivesARestart(t *testing.T) {
	t.Parallel()
	db := databasetest.SQLite(t)
	b := setupWith(t, databasetest.Open(t, db), bustest.Start(t), testConfig())
	for p := range 4 {
		for range 6 {
			b.submit(fmt.Sprint("p", p+1), "ios", 0)
		}
	}
	before := b.drain(1, 2)
	b.stop()
	again := setupWith(t, databasetest.Open(t, db), b.srv, testConfig())
	order := slices.Concat(before, again.drain(1, 4))
	// Who is fifth depends on how long the first four took, and one of them outlives the restart.
	if want := []string{"p1", "p2", "p3", "p4"}; !cmp.Equal(order[:4], want) || order[4] == order[5] {
		t.Errorf("starts = %v, want %v and then two different ones", order, want)
	}
}

func (b *bundle) projectRule(r *schedulerv1.ProjectRule) {
	b.t.Helper()
	if _, err := b.SetProjectRule(b.t.Context(), &schedulerv1.SetProjectRuleRequest{Rule: r}); err != nil {
		b.t.Fatal(err)
	}
}

// TestLoweredLimitTakesBuildsBack: builds on offer beyond a lowered limit wait again, and are offered once the limit allows it.
func TestLoweredLimitTakesBuildsBack(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.worker(4, "ios")
		var ids []string
		for range 4 {
			ids = append(ids, b.submit("app", "ios", 0).GetId())
		}
		for _, id := range ids {
			b.state(id, build.Queued)
		}
		b.mustClaim(w, ids[0])
		b.projectRule(&schedulerv1.ProjectRule{Project: "app", MaxRunning: 2})
		states := map[string]int{}
		for _, id := range ids {
			v, err := b.store.Build(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			states[string(v.State)]++
		}
		if want := map[string]int{"assigned": 1, "queued": 1, "pending": 2}; !cmp.Equal(states, want) {
			t.Fatalf("states = %v, want %v", states, want)
		}
		b.projectRule(&schedulerv1.ProjectRule{Project: "app", Weight: 1})
		for _, id := range ids[1:] {
			b.state(id, build.Queued)
			b.await("the hand-out is in the stream", func() bool { return len(b.handOuts(id)) == 1 })
			b.mustClaim(w, id)
		}
	})
}

// waitsFor waits until a pending build is told this reason: forecasts may lag a little.
func (b *bundle) waitsFor(id, reason string) {
	b.t.Helper()
	b.eventually(id, func(v *schedulerv1.Build) bool {
		return v.GetState() == string(build.Pending) && v.GetWaitingFor() == reason
	})
}

// TestLimitsHold: of a project with a limit no more builds are on offer or run, whichever way workers take them, and the ones that wait
// say why.
func TestLimitsHold(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.projectRule(&schedulerv1.ProjectRule{Project: "app", MaxRunning: 1})
		w := b.worker(4, "ios")
		one, two := b.submit("app", "ios", 0).GetId(), b.submit("app", "ios", 0).GetId()
		other := b.submit("other", "ios", 0).GetId()
		b.mustClaim(w, one)
		b.mustClaim(w, other)
		_, err := b.RegisterWorker(t.Context(), &schedulerv1.RegisterWorkerRequest{WorkerId: "vm", Name: "vm", Polls: true})
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := b.Poll(t.Context(), &schedulerv1.PollRequest{WorkerId: "vm"}); err != nil || resp.GetBuild() != nil {
			t.Errorf("Poll = %v, %v, want nothing beyond the limit", resp, err)
		}
		b.waitsFor(two, `project "app" is at its limit of 1 running builds`)
		if _, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{BuildId: one, Attempt: 1, Outcome: failed}); err != nil {
			t.Fatal(err)
		}
		b.mustClaim(w, two)
		b.projectRule(&schedulerv1.ProjectRule{Project: "app"})
		rules, err := b.ListRules(t.Context(), &schedulerv1.ListRulesRequest{})
		if err != nil || len(rules.GetProjects()) != 0 {
			t.Errorf("ListRules = %v, %v, want the empty rule removed", rules, err)
		}
	})
}

func TestPoolLimitHolds(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	if _, err := b.SetPoolRule(t.Context(), &schedulerv1.SetPoolRuleRequest{Rule: &schedulerv1.PoolRule{Pool: "default", MaxRunning: 1}}); err != nil {
		t.Fatal(err)
	}
	w := b.worker(4, "ios")
	one, two := b.submit("a", "ios", 0).GetId(), b.submit("b", "ios", 0).GetId()
	b.mustClaim(w, one)
	b.waitsFor(two, `pool "default" is at its limit of 1 running builds`)
}

func TestRulesAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	low := int32(-101)
	for _, r := range []*schedulerv1.ProjectRule{
		{}, {Project: "a\nb", Weight: 1}, {Project: "a", Weight: -1}, {Project: "a", Weight: 1001}, {Project: "a", MaxRunning: -1}, {Project: "a", MaxPriority: &low},
	} {
		if _, err := b.SetProjectRule(t.Context(), &schedulerv1.SetProjectRuleRequest{Rule: r}); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("SetProjectRule(%v) = %v, want invalid", r, err)
		}
	}
	if _, err := b.SetPoolRule(t.Context(), &schedulerv1.SetPoolRuleRequest{Rule: &schedulerv1.PoolRule{Pool: "a b", MaxRunning: 1}}); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("SetPoolRule of a bad pool = %v, want invalid", err)
	}
}

func TestPriorityIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	three := int32(3)
	b.projectRule(&schedulerv1.ProjectRule{Project: "strict", MaxPriority: &three})
	for _, tt := range []struct {
		project     string
		asked, want int32
	}{{"app", 7, 7}, {"app", 11, 10}, {"app", -500, -100}, {"strict", 4, 3}, {"strict", 3, 3}} {
		resp, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{
			BuildId: build.NewID(), Project: tt.project, Platform: "ios", Priority: tt.asked,
			Source: &eventsv1.ObjectRef{ObjectId: build.NewID()},
		})
		if err != nil {
			t.Fatal(err)
		}
		warned := slices.ContainsFunc(resp.GetWarnings(), func(w string) bool { return strings.Contains(w, "Priority") })
		if got := resp.GetBuild().GetPriority(); got != tt.want || warned != (tt.asked != tt.want) {
			t.Errorf("priority %d of %s = %d, warned %v; want %d", tt.asked, tt.project, got, warned, tt.want)
		}
	}
}

// revision submits a build of a commit.
func (b *bundle) revision(branch, commit, profile string, supersede bool) *schedulerv1.SubmitResponse {
	b.t.Helper()
	resp, err := b.Submit(b.t.Context(), &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Project: "app", Platform: "ios", Profile: profile, Supersede: supersede,
		Origin: &schedulerv1.Origin{Repository: "o/r", Branch: branch, Commit: commit},
		Source: &eventsv1.ObjectRef{ObjectId: build.NewID()},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// TestSupersede cancels older builds of another revision of the same project, branch, platform and profile, and nothing else.
func TestSupersede(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.worker(1, "ios")
		old, mine := strings.Repeat("a", 40), strings.Repeat("b", 40)
		running := b.revision("main", old, "preview", false).GetBuild().GetId()
		b.mustClaim(w, running)
		waits := b.revision("main", old, "preview", false).GetBuild().GetId()
		kept := []string{
			b.revision("main", mine, "preview", false).GetBuild().GetId(), // the same revision
			b.revision("main", old, "production", false).GetBuild().GetId(),
			b.revision("next", old, "preview", false).GetBuild().GetId(),
			b.submit("app", "ios", 0).GetId(), // of no known revision
		}
		resp := b.revision("main", mine, "preview", true)
		if diff := cmp.Diff([]string{running, waits}, resp.GetSuperseded()); diff != "" {
			t.Errorf("superseded (-want +got):\n%s", diff)
		}
		for _, id := range []string{running, waits} {
			got := b.state(id, build.Cancelled)
			if !strings.HasPrefix(got.GetError(), "Superseded by build "+resp.GetBuild().GetId()) {
				t.Errorf("error = %q", got.GetError())
			}
		}
		for _, id := range append(kept, resp.GetBuild().GetId()) {
			b.state(id, build.Pending, build.Queued)
		}
		b.projectRule(&schedulerv1.ProjectRule{Project: "app", Supersede: true})
		if got := b.revision("main", strings.Repeat("c", 40), "preview", false); len(got.GetSuperseded()) != 2 {
			t.Errorf("by the project's rule %v were superseded, want 2", got.GetSuperseded())
		}
		retry, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{
			BuildId: build.NewID(), Project: "app", Platform: "ios", Profile: "preview", RetryOf: running,
			Origin: &schedulerv1.Origin{Repository: "o/r", Branch: "main", Commit: old}, Source: &eventsv1.ObjectRef{ObjectId: build.NewID()},
		})
		if err != nil || len(retry.GetSuperseded()) != 0 {
			t.Errorf("the retry of an old revision superseded %v, %v", retry.GetSuperseded(), err)
		}
	})
}

// TestPositionsAreTheOrderOfStarts: what builds are told is what happens, however many projects there are.
func TestPositionsAreTheOrderOfStarts(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.AgeEvery = 0 // nothing ages in the time that this takes, while the forecast foresees ten minutes for each build
	b := setupWith(t, sqlite(t), bustest.Start(t), cfg)
	for p := range 4 {
		for range 5 {
			b.submit(fmt.Sprint("p", p+1), "ios", int32(p%2))
		}
	}
	_, err := b.RegisterWorker(t.Context(), &schedulerv1.RegisterWorkerRequest{WorkerId: "vm", Name: "vm", Polls: true})
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.List(t.Context(), &schedulerv1.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	byPosition := map[int32]string{}
	for _, v := range list.GetBuilds() {
		byPosition[v.GetPosition()] = v.GetId()
		if v.GetWaitingFor() == "" || v.GetExpectedStartMs() < time.Now().Add(-time.Minute).UnixMilli() {
			t.Errorf("build in the list waits for %q until %d", v.GetWaitingFor(), v.GetExpectedStartMs())
		}
	}
	for i := range int32(20) {
		resp, err := b.Poll(t.Context(), &schedulerv1.PollRequest{WorkerId: "vm"})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetBuild().GetId(); got != byPosition[i+1] {
			t.Fatalf("start %d is not the build that was told position %d", i+1, i+1)
		}
		if _, err := b.Finish(t.Context(), "vm", &schedulerv1.FinishRequest{BuildId: resp.GetBuild().GetId(), Attempt: 1, Outcome: failed}); err != nil {
			t.Fatal(err)
		}
	}
	list, err = b.List(t.Context(), &schedulerv1.ListRequest{})
	if err != nil || list.GetBuilds()[0].GetWorkerName() != "vm" {
		t.Errorf("worker name in the list = %q, %v, want vm", list.GetBuilds()[0].GetWorkerName(), err)
	}
}

// TestAWorkerThatJoinsCounts: it has registered and is about to connect.
func TestAWorkerThatJoinsCounts(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	_, err := b.RegisterWorker(t.Context(), &schedulerv1.RegisterWorkerRequest{WorkerId: "mini", Name: "mini", Platforms: []string{"ios"}})
	if err != nil {
		t.Fatal(err)
	}
	for platform, want := range map[string]int{"ios": 0, "android": 1} {
		resp, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{
			BuildId: build.NewID(), Project: "app", Platform: platform, Source: &eventsv1.ObjectRef{ObjectId: build.NewID()},
		})
		if err != nil || len(resp.GetWarnings()) != want {
			t.Errorf("warnings for %s = %v, %v, want %d", platform, resp.GetWarnings(), err, want)
		}
	}
}
