package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// reuseBench makes builds with keys on one worker, and asks for their reuse.
type reuseBench struct {
	*bundle
	artifacts *artifacts
	worker    string
	project   string
}

const someKey, otherKey = "aa", "bb"

func digest(pair string) string { return strings.Repeat(pair, 32) }

// machineIs has the worker register as a machine, as it does when it starts.
func (b *reuseBench) machineIs(machine string) {
	b.t.Helper()
	_, err := b.RegisterWorker(b.t.Context(), &schedulerv1.RegisterWorkerRequest{WorkerId: b.worker, Name: "mini", Slots: 64, Machine: machine})
	if err == nil {
		_, err = b.Sync(b.t.Context(), b.worker, &schedulerv1.SyncRequest{})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *reuseBench) request(edit func(*schedulerv1.SubmitRequest)) *schedulerv1.SubmitRequest {
	r := &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Project: b.project, Platform: "android", Origin: &schedulerv1.Origin{Branch: "main"},
		Source:   &eventsv1.ObjectRef{ObjectId: build.NewID(), Size: 1, Sha256: "00"},
		ReuseKey: &schedulerv1.ReuseKey{Key: digest(someKey)},
	}
	if edit != nil {
		edit(r)
	}
	return r
}

// made submits a build and has the worker complete it.
func (b *reuseBench) made(edit func(*schedulerv1.SubmitRequest), made *schedulerv1.Made) string {
	b.t.Helper()
	id := b.claimed(edit)
	_, err := b.Finish(b.t.Context(), b.worker, &schedulerv1.FinishRequest{
		WorkerId: b.worker, BuildId: id, Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_COMPLETED, ResultObjectId: b.artifacts.store(id, 1), Made: made,
	})
	if err != nil {
		b.t.Fatalf("Finish: %v", err)
	}
	return id
}

func (b *reuseBench) claimed(edit func(*schedulerv1.SubmitRequest)) string {
	b.t.Helper()
	resp, err := b.Submit(b.t.Context(), b.request(edit))
	if err != nil {
		b.t.Fatalf("Submit: %v", err)
	}
	return b.mustClaim(b.worker, resp.GetBuild().GetId()).GetId()
}

func usual() *schedulerv1.Made {
	return &schedulerv1.Made{Machine: "machine", Environment: "production", Variables: "variables", Fingerprint: "f1"}
}

func (b *reuseBench) find(edit func(*schedulerv1.FindReuseRequest)) *schedulerv1.FindReuseResponse {
	b.t.Helper()
	r := &schedulerv1.FindReuseRequest{
		Project: b.project, Platform: "android", Key: &schedulerv1.ReuseKey{Key: digest(someKey), Environment: "production"}, Variables: "variables",
		Reuse: &schedulerv1.Reuse{Id: build.NewID(), Branch: "main", Commit: strings.Repeat("c", 40), Username: "jo"},
	}
	if edit != nil {
		edit(r)
	}
	resp, err := b.FindReuse(b.t.Context(), r)
	if err != nil {
		b.t.Fatalf("FindReuse: %v", err)
	}
	return resp
}

func setupReuse(t *testing.T, open databasetest.Opener) *reuseBench {
	t.Helper()
	b := setup(t, open)
	r := &reuseBench{bundle: b, artifacts: serveArtifacts(t, b.srv), worker: build.NewID(), project: "shop"}
	r.machineIs("machine")
	return r
}

// reuseCase changes one thing between a build and a submit that would reuse it.
type reuseCase struct {
	what string
	// build edits the first submit, made what it was made with, ask the question.
	build func(*schedulerv1.SubmitRequest)
	made  func(*schedulerv1.Made)
	ask   func(*schedulerv1.FindReuseRequest)
	// refused is part of the reason; empty: the build is reused.
	refused string
}

func reuseCases() []reuseCase {
	onBranch := func(branch string) func(*schedulerv1.SubmitRequest) {
		return func(r *schedulerv1.SubmitRequest) { r.Origin.Branch = branch }
	}
	return []reuseCase{
		{what: "nothing"},
		{what: "another key", ask: func(r *schedulerv1.FindReuseRequest) { r.Key.Key = digest(otherKey) }, refused: "no earlier build has the same sources"},
		{what: "another project", ask: func(r *schedulerv1.FindReuseRequest) { r.Project = "other" }, refused: "no earlier build"},
		{what: "another platform", ask: func(r *schedulerv1.FindReuseRequest) { r.Platform = "ios" }, refused: "no earlier build"},
		{what: "another pool", ask: func(r *schedulerv1.FindReuseRequest) { r.Pool = "fast" }, refused: "was built in pool default"},
		{what: "other variables", ask: func(r *schedulerv1.FindReuseRequest) { r.Variables = "changed" }, refused: "variables of environment production"},
		{what: "another environment", ask: func(r *schedulerv1.FindReuseRequest) { r.Key.Environment = "preview" }, refused: "environment preview"},
		{what: "a machine that has changed", made: func(m *schedulerv1.Made) { m.Machine = "earlier" }, refused: "has other tools or variables"},
		{what: "a worker that does not say", made: func(m *schedulerv1.Made) { m.Machine = "" }, refused: "did not say"},
		{what: "a build number", ask: func(r *schedulerv1.FindReuseRequest) { r.BuildNumber = build.LastNumber }, refused: "another build number"},
		{
			what: "the same build number", build: func(r *schedulerv1.SubmitRequest) {
				r.Settings = &schedulerv1.BuildSettings{BuildNumber: build.LastNumber}
			},
			ask: func(r *schedulerv1.FindReuseRequest) { r.BuildNumber = build.LastNumber },
		},
		{what: "a required label", ask: func(r *schedulerv1.FindReuseRequest) { r.Requires = "xcode=26" }, refused: "required other labels"},
		{what: "a preferred label that no worker has", ask: func(r *schedulerv1.FindReuseRequest) { r.Prefers = "image=macos-26" }},
		{what: "a trusted branch for a feature", ask: func(r *schedulerv1.FindReuseRequest) { r.Reuse.Branch = "feature" }},
		{what: "a feature for itself", build: onBranch("feature"), ask: func(r *schedulerv1.FindReuseRequest) { r.Reuse.Branch = "feature" }},
		{what: "a feature for main", build: onBranch("feature"), refused: `is of branch "feature", which is not trusted`},
		{what: "a feature for another", build: onBranch("feature"), ask: func(r *schedulerv1.FindReuseRequest) { r.Reuse.Branch = "fix" }, refused: "not trusted"},
		{what: "no branch for main", build: onBranch(""), refused: "not trusted"},
		{what: "no key", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey = nil }, refused: "no earlier build"},
		{what: "a retry", build: func(r *schedulerv1.SubmitRequest) { r.RetryOf = build.NewID() }, refused: "no earlier build"},
	}
}

// clientCases are about development clients.
func clientCases() []reuseCase {
	return []reuseCase{
		{
			what: "a development client", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey.NativeKey = digest(someKey) },
			ask: func(r *schedulerv1.FindReuseRequest) {
				r.Key.Key, r.Key.NativeKey, r.Fingerprint = digest(otherKey), digest(someKey), "f1"
			},
		},
		{
			what: "a development client with another native part", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey.NativeKey = digest(someKey) },
			ask: func(r *schedulerv1.FindReuseRequest) {
				r.Key.Key, r.Key.NativeKey, r.Fingerprint = digest(otherKey), digest(someKey), "f2"
			}, refused: "no earlier build",
		},
		{
			what: "a development client of another profile", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey.NativeKey = digest(someKey) },
			ask: func(r *schedulerv1.FindReuseRequest) {
				r.Key.Key, r.Key.NativeKey, r.Fingerprint = digest(otherKey), digest(otherKey), "f1"
			}, refused: "no earlier build",
		},
		{
			what: "no fingerprint on either side", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey.NativeKey = digest(someKey) },
			made: func(m *schedulerv1.Made) { m.Fingerprint = "" },
			ask: func(r *schedulerv1.FindReuseRequest) {
				r.Key.Key, r.Key.NativeKey = digest(otherKey), digest(someKey)
			}, refused: "no earlier build",
		},
		{
			what: "a fingerprint alone", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey.NativeKey = digest(someKey) },
			ask: func(r *schedulerv1.FindReuseRequest) { r.Key, r.Fingerprint = nil, "f1" },
		},
		{
			what: "a fingerprint alone, of no development client",
			ask:  func(r *schedulerv1.FindReuseRequest) { r.Key, r.Fingerprint = nil, "f1" }, refused: "no development client",
		},
		{
			what: "a fingerprint alone, for the simulator", build: func(r *schedulerv1.SubmitRequest) { r.ReuseKey.NativeKey = digest(someKey) },
			ask: func(r *schedulerv1.FindReuseRequest) {
				r.Key, r.Fingerprint = &schedulerv1.ReuseKey{Simulator: true}, "f1"
			}, refused: "no development client",
		},
	}
}

// TestReuse asks for the reuse of a build that differs in one thing.
func TestReuse(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		for i, tt := range slices.Concat(reuseCases(), clientCases()) {
			b.project = fmt.Sprintf("shop-%d", i)
			b.setNumber(b.project, "android", "41")
			made := usual()
			if tt.made != nil {
				tt.made(made)
			}
			id := b.made(tt.build, made)
			b.machineIs("machine")
			got := b.find(tt.ask)
			if tt.refused == "" && (got.GetBuild().GetId() != id || got.GetBuild().GetWorkerName() != "mini") {
				t.Errorf("%s: FindReuse = %v, want build %s", tt.what, got, id)
			}
			if tt.refused != "" && (got.GetBuild() != nil || !strings.Contains(got.GetReason(), tt.refused)) {
				t.Errorf("%s: FindReuse = %v, want the reason %q", tt.what, got, tt.refused)
			}
		}
	})
}

// TestReuseOfUnfinishedBuilds: only a completed build is reused, and an older completed one in place of a newer that failed.
func TestReuseOfUnfinishedBuilds(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		id := b.claimed(nil)
		if got := b.find(nil); !strings.Contains(got.GetReason(), id+" of the same sources has not ended") {
			t.Errorf("FindReuse while it runs = %v", got)
		}
		if _, err := b.Cancel(t.Context(), &schedulerv1.CancelRequest{BuildId: id}); err != nil {
			t.Fatal(err)
		}
		if got := b.find(nil); !strings.Contains(got.GetReason(), id+" of the same sources is cancelled") {
			t.Errorf("FindReuse of a cancelled build = %v", got)
		}
		good := b.made(nil, usual())
		failed := b.claimed(nil)
		if _, err := b.Finish(t.Context(), b.worker, &schedulerv1.FinishRequest{
			WorkerId: b.worker, BuildId: failed, Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_FAILED, Error: "no",
		}); err != nil {
			t.Fatal(err)
		}
		if got := b.find(nil); got.GetBuild().GetId() != good {
			t.Errorf("FindReuse = %v, want the build that completed, %s", got, good)
		}
		if _, err := b.WithdrawWorker(t.Context(), &schedulerv1.WithdrawWorkerRequest{WorkerId: b.worker}); err != nil {
			t.Fatal(err)
		}
		if got := b.find(nil); !strings.Contains(got.GetReason(), "has left the farm") {
			t.Errorf("FindReuse after its worker has left = %v", got)
		}
	})
}

// TestReuseIsRecorded: once for each id, with an event, in Get and List; the oldest reuses are dropped.
func TestReuseIsRecorded(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		id := b.made(nil, usual())
		first := build.NewID()
		for range 2 { // the answer to the first was lost
			got := b.find(func(r *schedulerv1.FindReuseRequest) { r.RecordBuildId, r.Reuse.Id = id, first })
			if got.GetBuild().GetId() != id {
				t.Fatalf("FindReuse = %v", got)
			}
		}
		if got := b.find(func(r *schedulerv1.FindReuseRequest) { r.RecordBuildId = build.NewID() }); got.GetBuild().GetReuses() != 1 {
			t.Errorf("another build is the answer, and it is recorded: %v", got)
		}
		events := b.events(id)
		if n := len(slices.DeleteFunc(events, func(e string) bool { return e != string(bus.Reused) })); n != 1 {
			t.Errorf("%d events say that it was reused, want 1", n)
		}
		resp, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: id})
		if err != nil {
			t.Fatal(err)
		}
		u := resp.GetReuses()
		if len(u) != 1 || u[0].GetUsername() != "jo" || u[0].GetBranch() != "main" || u[0].GetCommit() == "" || resp.GetBuild().GetLastReusedAtMs() != u[0].GetAtMs() {
			t.Errorf("the build has the reuses %v, last at %d", u, resp.GetBuild().GetLastReusedAtMs())
		}
		for range store.MaxReuses {
			b.find(func(r *schedulerv1.FindReuseRequest) { r.RecordBuildId = id })
		}
		list, err := b.List(t.Context(), &schedulerv1.ListRequest{})
		if err != nil || list.GetBuilds()[0].GetReuses() != store.MaxReuses+1 {
			t.Errorf("List = %v, %v, want %d reuses", list, err, store.MaxReuses+1)
		}
		if resp, err = b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: id}); err != nil || len(resp.GetReuses()) != store.MaxReuses {
			t.Errorf("%d reuses are kept, %v, want %d", len(resp.GetReuses()), err, store.MaxReuses)
		}
	})
}

// TestReusedBuildsStayForTheDownload: a reuse keeps an old build for an hour, and its rows go with it.
func TestReusedBuildsStayForTheDownload(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		id := b.made(nil, usual())
		if _, err := b.SetRetention(t.Context(), &schedulerv1.SetRetentionRequest{Policy: &schedulerv1.RetentionPolicy{MaxAgeSeconds: 3600}}); err != nil {
			t.Fatal(err)
		}
		expires := func() int64 {
			t.Helper()
			resp, err := b.PlanRetention(t.Context(), &schedulerv1.PlanRetentionRequest{})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetBuilds()
		}
		b.skew.Store(int64(48 * time.Hour))
		if n := expires(); n != 1 {
			t.Fatalf("%d builds expire before the reuse, want 1", n)
		}
		b.find(func(r *schedulerv1.FindReuseRequest) { r.RecordBuildId = id })
		if n := expires(); n != 0 {
			t.Errorf("%d builds expire after the reuse, want none", n)
		}
		b.skew.Store(int64(50 * time.Hour))
		gone := func() bool {
			_, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: id})
			return errors.Is(err, build.ErrNotFound)
		}
		deadline := time.Now().Add(20 * time.Second)
		for !gone() { // the sweep comes by
			if time.Now().After(deadline) {
				t.Fatal("the build does not expire two hours later")
			}
			<-time.After(20 * time.Millisecond)
		}
		var rows int
		err := b.db.Read().QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM build_keys) + (SELECT count(*) FROM build_reuses)`).Scan(&rows)
		if err != nil || rows != 0 {
			t.Errorf("%d rows of the build are left, %v", rows, err)
		}
		if got := b.find(nil); got.GetBuild() != nil || !strings.Contains(got.GetReason(), "no earlier build") {
			t.Errorf("FindReuse of an expired build = %v", got)
		}
	})
}
