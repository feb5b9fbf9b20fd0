package scheduler

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const legacyTime = int64(1_700_000_000_000)

// legacyBuilds are a build in each final state, and two that have not ended.
func legacyBuilds() []*schedulerv1.Build {
	source := &eventsv1.ObjectRef{ObjectId: "source", Size: 3, Sha256: "abc"}
	return []*schedulerv1.Build{
		{
			Id: "-done", Platform: "ios", State: "completed", WorkerId: "mac", WorkerName: "Mac 1", Source: source,
			Result: &eventsv1.ObjectRef{ObjectId: "app"}, SubmittedAtMs: legacyTime, AssignedAtMs: legacyTime + 1, FinishedAtMs: legacyTime + 61,
		},
		{Id: "bad", Platform: "ios", State: "failed", WorkerId: "mac", WorkerName: "Mac 1", Source: source, Error: "no luck", SubmittedAtMs: legacyTime + 2, AssignedAtMs: legacyTime + 3, FinishedAtMs: legacyTime + 13},
		{Id: "off", Platform: "android", State: "cancelled", Source: source, Error: "Build cancelled by user", SubmittedAtMs: legacyTime + 4, FinishedAtMs: legacyTime + 5},
		{Id: "waits", Platform: "android", State: "pending", Source: source, SubmittedAtMs: legacyTime + 6},
		{Id: "held", Platform: "ios", State: "assigned", WorkerId: "mac", WorkerName: "Mac 1", Source: source, SubmittedAtMs: legacyTime + 7, AssignedAtMs: legacyTime + 8},
	}
}

func (b *bundle) importBuilds(check bool, builds ...*schedulerv1.Build) []string {
	b.t.Helper()
	resp, err := b.legacy().ImportBuilds(b.t.Context(), &schedulerv1.ImportBuildsRequest{Builds: builds, Check: check})
	if err != nil {
		b.t.Fatal(err)
	}
	words := map[schedulerv1.Found_Outcome]string{
		schedulerv1.Found_OUTCOME_ADDED: "added", schedulerv1.Found_OUTCOME_PRESENT: "present", schedulerv1.Found_OUTCOME_DIFFERS: "differs",
	}
	var all []string
	for _, f := range resp.GetFound() {
		all = append(all, words[f.GetOutcome()])
	}
	return all
}

func five(word string) []string { return []string{word, word, word, word, word} }

// TestImportKeepsHistory: builds stand as they were, before ours; again and checked, nothing changes.
func TestImportKeepsHistory(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		ours := b.submit("app", "ios", 0)
		for _, step := range []struct {
			check bool
			want  string
		}{{true, "added"}, {true, "added"}, {false, "added"}, {true, "present"}, {false, "present"}} {
			if diff := cmp.Diff(five(step.want), b.importBuilds(step.check, legacyBuilds()...)); diff != "" {
				t.Fatalf("import, check %v (-want +got):\n%s", step.check, diff)
			}
		}
		list, err := b.List(t.Context(), &schedulerv1.ListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, v := range list.GetBuilds() {
			order = append(order, v.GetId()+" "+v.GetState())
		}
		if got, want := order[0][:len(ours.GetId())], ours.GetId(); got != want {
			t.Errorf("first in the list = %s, want our own build %s", got, want)
		}
		want := []string{"held pending", "waits pending", "off cancelled", "bad failed", "-done completed"}
		if diff := cmp.Diff(want, order[1:]); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		stats, err := b.Stats(t.Context(), &schedulerv1.StatsRequest{})
		if err != nil || stats.GetEnded() != 2 || stats.GetBuildMs() != 70 {
			t.Errorf("Stats = %v, %v; want 2 ended in 70 ms, counted once", stats, err)
		}
	})
}

// TestImportedBuildIsBuilt: what was not finished there is handed out here, and what its worker there had is recorded.
func TestImportedBuildIsBuilt(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		store := serveArtifacts(t, b.srv)
		b.importBuilds(false, legacyBuilds()...)
		w := b.worker(1, "ios")
		b.eventually("held", func(v *schedulerv1.Build) bool { return v.GetState() == "queued" })
		claimed, err := b.Claim(t.Context(), w, &schedulerv1.ClaimRequest{BuildId: "held", Attempt: 2})
		if err != nil || claimed.GetBuild().GetAttempt() != 2 {
			t.Fatalf("Claim = %v, %v", claimed, err)
		}
		if _, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{BuildId: "held", Attempt: 2, Outcome: completed, ResultObjectId: store.store("held", 2)}); err != nil {
			t.Fatal(err)
		}
		got, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: "held"})
		if err != nil || len(got.GetAttempts()) != 2 || got.GetAttempts()[0].GetOutcome() != "handed_back" || got.GetAttempts()[1].GetOutcome() != "completed" {
			t.Errorf("Get = %v, %v; want an attempt handed back and a completed one", got, err)
		}
		if diff := cmp.Diff(five("present"), b.importBuilds(true, legacyBuilds()...)); diff != "" {
			t.Errorf("import after it was built (-want +got):\n%s", diff)
		}
	})
}

// TestImportSaysWhatDiffers, and leaves it alone.
func TestImportSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.importBuilds(false, legacyBuilds()...)
	changed := legacyBuilds()
	changed[0].SubmittedAtMs++
	changed[1].Error = "other luck"
	changed[2].State = "pending"
	changed[3].State, changed[3].FinishedAtMs = "completed", legacyTime+9
	changed[4].Certs = &eventsv1.ObjectRef{ObjectId: "certs"}
	want := []string{"differs", "differs", "differs", "differs", "present"}
	if diff := cmp.Diff(want, b.importBuilds(false, changed...)); diff != "" {
		t.Errorf("import (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(five("present"), b.importBuilds(true, legacyBuilds()...)); diff != "" {
		t.Errorf("import of the first (-want +got):\n%s", diff)
	}
}

// TestImportFillsHoles: a file that was missing at the first run and is there at the second.
func TestImportFillsHoles(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	holed := legacyBuilds()[:1]
	app := holed[0].GetResult()
	holed[0].Result = nil
	b.importBuilds(false, holed...)
	holed[0].Result = app
	for _, want := range []string{"added", "present"} {
		if got := b.importBuilds(false, holed...); got[0] != want {
			t.Errorf("import with the file = %v, want %s", got, want)
		}
	}
	if got, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: "-done"}); err != nil || got.GetBuild().GetResult().GetObjectId() != "app" {
		t.Errorf("Get = %v, %v; want its result", got, err)
	}
}

func TestImportRefusesNonsense(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	for name, spoil := range map[string]func(*schedulerv1.Build){
		"id": func(v *schedulerv1.Build) { v.Id = "a b" }, "platform": func(v *schedulerv1.Build) { v.Platform = "amiga" },
		"state": func(v *schedulerv1.Build) { v.State = "queued" }, "no end": func(v *schedulerv1.Build) { v.FinishedAtMs = 0 },
		"no source to build": func(v *schedulerv1.Build) { v.State, v.Source = "pending", nil },
	} {
		v := legacyBuilds()[0]
		spoil(v)
		_, err := b.legacy().ImportBuilds(t.Context(), &schedulerv1.ImportBuildsRequest{Builds: []*schedulerv1.Build{v}})
		if !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s: ImportBuilds = %v, want a refusal", name, err)
		}
	}
}

// TestWorkersComeAndGo: imported, polled with their old id, and exported with what they built.
func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		req := &schedulerv1.ImportWorkersRequest{Workers: []*schedulerv1.Worker{
			{Id: "mac", Name: "Mac 1", Platforms: []string{"ios"}, Slots: 1, RegisteredAtMs: legacyTime, SeenAtMs: legacyTime + 5},
		}}
		for _, want := range []schedulerv1.Found_Outcome{schedulerv1.Found_OUTCOME_ADDED, schedulerv1.Found_OUTCOME_PRESENT} {
			resp, err := b.legacy().ImportWorkers(t.Context(), req)
			if err != nil || resp.GetFound()[0].GetOutcome() != want {
				t.Fatalf("ImportWorkers = %v, %v; want %v", resp, err, want)
			}
		}
		b.importBuilds(false, legacyBuilds()...)
		poll, err := b.Poll(t.Context(), &schedulerv1.PollRequest{WorkerId: "mac"})
		if err != nil || poll.GetBuild().GetId() != "held" {
			t.Fatalf("Poll = %v, %v; want the build that it had there", poll, err)
		}
		resp, err := b.legacy().ExportWorkers(t.Context(), &schedulerv1.ExportWorkersRequest{})
		if err != nil || len(resp.GetWorkers()) != 1 {
			t.Fatalf("ExportWorkers = %v, %v", resp, err)
		}
		w := resp.GetWorkers()[0]
		if w.GetCompleted() != 1 || w.GetFailed() != 1 || w.GetWorker().GetRegisteredAtMs() != legacyTime {
			t.Errorf("worker = %v, want one completed, one failed, and when it registered there", w)
		}
	})
}

func TestExportReadsInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.importBuilds(false, legacyBuilds()...)
	ours := b.submit("app", "ios", 0).GetId()
	var got []string
	for after := int64(0); ; {
		resp, err := b.legacy().ExportBuilds(t.Context(), &schedulerv1.ExportBuildsRequest{AfterSeq: after, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range resp.GetBuilds() {
			got = append(got, one.GetBuild().GetId())
		}
		if after = resp.GetNextAfterSeq(); after == 0 {
			break
		}
	}
	if diff := cmp.Diff([]string{"-done", "bad", "off", "waits", "held", ours}, got); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}
}

// TestExpiredBuildsAreNotImportedAgain: the second import changes nothing, and what it brought to other services is deleted again.
func TestExpiredBuildsAreNotImportedAgain(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		k := serveKeepers(t, b.srv)
		b.importBuilds(false, legacyBuilds()...)
		b.setPolicy(&schedulerv1.RetentionPolicy{MaxAgeSeconds: 30 * 24 * 3600})
		b.skew.Store(int64(25 * time.Hour))
		b.sweep()
		if diff := cmp.Diff([]string{"-done", "bad", "off"}, k.heard("artifact")); diff != "" {
			t.Fatalf("expired (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(five("present"), b.importBuilds(false, legacyBuilds()...)); diff != "" {
			t.Errorf("imported again (-want +got):\n%s", diff)
		}
		b.isExpired("-done")
		b.sweep()
		for _, who := range []string{"artifact", "monitor", "ingest"} {
			if diff := cmp.Diff([]string{"-done", "-done", "bad", "bad", "off", "off"}, k.heard(who)); diff != "" {
				t.Errorf("after the second import %s deleted (-want +got):\n%s", who, diff)
			}
		}
	})
}
