package scheduler

import (
	"slices"
	"strings"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestArtifactsOfABuild: a build that ends names the files that it kept, as they are stored; artifacts that are not its attempt's change
// nothing of how it ends.
func TestArtifactsOfABuild(t *testing.T) {
	t.Parallel()
	const kind = artifactv1.Kind_KIND_ARTIFACTS
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		store := serveArtifacts(t, b.srv)
		w := b.worker(10, "android")
		for name, tt := range map[string]struct {
			outcome schedulerv1.FinishRequest_Outcome
			object  func(id string) string
			problem string // reported
			// What the build has in the end.
			state build.State
			shown string
			kept  bool
		}{
			"completed":        {outcome: completed, object: func(id string) string { return store.storeKind(id, 1, kind) }, state: build.Completed, kept: true},
			"failed":           {outcome: failed, object: func(id string) string { return store.storeKind(id, 1, kind) }, state: build.Failed, kept: true},
			"a problem":        {outcome: completed, problem: "Build artifacts were not kept: " + strings.Repeat("x", 1000), state: build.Completed, shown: "Build artifacts were not kept: xxx"},
			"none":             {outcome: failed, state: build.Failed},
			"unknown":          {outcome: completed, object: func(string) string { return "none" }, state: build.Completed, shown: "are not stored"},
			"another build's":  {outcome: completed, object: func(string) string { return store.storeKind("other", 1, kind) }, state: build.Completed, shown: "another attempt"},
			"a lost attempt's": {outcome: failed, object: func(id string) string { return store.storeKind(id, 2, kind) }, state: build.Failed, shown: "another attempt"},
			"a result":         {outcome: completed, object: func(id string) string { return store.store(id, 1) }, state: build.Completed, shown: "another attempt"},
			"a lost attempt":   {outcome: handed, object: func(id string) string { return store.storeKind(id, 1, kind) }, state: build.Queued},
		} {
			v := b.submit("app", "android", 0)
			b.ends(w, v.GetId(), tt.outcome, tt.object, tt.problem, store)
			got := b.state(v.GetId(), tt.state)
			a := got.GetArtifacts()
			if tt.kept != (a.GetObject().GetSha256() == "abc" && a.GetFiles() == 3) || !tt.kept && a.GetObject() != nil {
				t.Errorf("%s: artifacts = %v", name, a)
			}
			if tt.shown == "" != (a.GetProblem() == "") || !strings.Contains(a.GetProblem(), tt.shown) || len(a.GetProblem()) > maxProblem {
				t.Errorf("%s: the problem is %q, want %q", name, a.GetProblem(), tt.shown)
			}
			if tt.kept {
				b.eventually(v.GetId(), func(*schedulerv1.Build) bool {
					store.mu.Lock()
					defer store.mu.Unlock()
					return slices.Contains(store.kept, a.GetObject().GetObjectId())
				})
			}
			list, err := b.List(t.Context(), &schedulerv1.ListRequest{Limit: 1})
			if err != nil || tt.kept != (list.GetBuilds()[0].GetArtifacts().GetObject() != nil) {
				t.Errorf("%s: list = %v, %v", name, list, err)
			}
		}
	})
}

// ends claims a build and reports how it ended, twice, the second time as after a lost answer. object makes its artifacts; nil for none.
func (b *bundle) ends(
	worker, id string, outcome schedulerv1.FinishRequest_Outcome, object func(id string) string, problem string, store *artifacts,
) {
	b.t.Helper()
	b.mustClaim(worker, id)
	if _, err := b.Stage(b.t.Context(), worker, &schedulerv1.StageRequest{BuildId: id, Attempt: 1, Stage: "install"}); err != nil {
		b.t.Fatal(err)
	}
	req := &schedulerv1.FinishRequest{
		BuildId: id, Attempt: 1, Outcome: outcome, Artifacts: &schedulerv1.BuildArtifacts{Files: 3, Problem: problem},
	}
	if outcome == completed {
		req.ResultObjectId = store.store(id, 1)
	}
	if object != nil {
		req.Artifacts.Object = &eventsv1.ObjectRef{ObjectId: object(id)}
	}
	for i := range 2 {
		if _, err := b.Finish(b.t.Context(), worker, req); err != nil && (i == 0 || outcome != handed) {
			b.t.Fatal(err)
		}
	}
}
