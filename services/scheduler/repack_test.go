package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// native makes a build whose result can be repacked, after edits of its submit and of what its worker reports.
func (b *reuseBench) native(name string, edit func(*schedulerv1.SubmitRequest), madeOf func(*schedulerv1.Made)) string {
	b.t.Helper()
	id := b.claimed(func(r *schedulerv1.SubmitRequest) {
		if r.Profile = "preview"; edit != nil {
			edit(r)
		}
	})
	m := usual()
	if m.Repackable = true; madeOf != nil {
		madeOf(m)
	}
	result := b.artifacts.store(id, 1)
	b.artifacts.rename(result, name)
	_, err := b.Finish(b.t.Context(), b.worker, &schedulerv1.FinishRequest{
		WorkerId: b.worker, BuildId: id, Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_COMPLETED, ResultObjectId: result, Made: m,
	})
	if err != nil {
		b.t.Fatalf("Finish: %v", err)
	}
	return id
}

func (a *artifacts) rename(id, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.results[id].Object.Name = name
}

func (b *reuseBench) findRepack(edit func(*schedulerv1.FindRepackRequest)) *schedulerv1.FindRepackResponse {
	b.t.Helper()
	r := &schedulerv1.FindRepackRequest{Project: b.project, Platform: "android", Profile: "preview", Branch: "main"}
	if edit != nil {
		edit(r)
	}
	resp, err := ask[schedulerv1.FindRepackResponse](b.bundle, "find_repack", r)
	if err != nil {
		b.t.Fatalf("FindRepack: %v", err)
	}
	return resp
}

func (b *reuseBench) submitRepack(from string, edit func(*schedulerv1.SubmitRequest)) (*schedulerv1.Build, error) {
	resp, err := b.Submit(b.t.Context(), b.request(func(r *schedulerv1.SubmitRequest) {
		if r.Settings = (&schedulerv1.BuildSettings{RepackFrom: from}); edit != nil {
			edit(r)
		}
	}))
	return resp.GetBuild(), err
}

// TestFindRepack: the newest native app of the same profile, of the branch or a trusted one; by id any of the project and platform.
func TestFindRepack(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		wants := func(what, id, reason string, edit func(*schedulerv1.FindRepackRequest)) {
			t.Helper()
			if got := b.findRepack(edit); got.GetSource().GetBuildId() != id || !strings.Contains(got.GetReason(), reason) || (id == "") != (got.GetReason() != "") {
				t.Errorf("%s: FindRepack = %v, want build %q, reason %q", what, got, id, reason)
			}
		}
		byID := func(id string) func(*schedulerv1.FindRepackRequest) {
			return func(r *schedulerv1.FindRepackRequest) { r.BuildId = id }
		}
		wants("nothing", "", "no native build of project shop for android with profile preview", nil)
		bundle := b.native("app.tar.gz", nil, nil)
		wants("a bundle", "", "app.tar.gz", nil)
		wants("a bundle by id", "", "cannot be repacked", byID(bundle))
		client := b.native("app.apk", nil, func(m *schedulerv1.Made) { m.Repackable = false })
		wants("a development client", "", "no recorded native fingerprint", byID(client))
		first := b.native("app.apk", nil, nil)
		wants("an APK", first, "", nil)
		second := b.native("app.apk", nil, func(m *schedulerv1.Made) { m.Fingerprint = "f2" })
		wants("the newest", second, "", nil)
		wants("the one with the same native part", first, "", func(r *schedulerv1.FindRepackRequest) { r.Fingerprint = "f1" })
		wants("by id", first, "", byID(first))
		feature := b.native("app.apk", func(r *schedulerv1.SubmitRequest) { r.Origin.Branch = "feature" }, nil)
		wants("main has no other branch's", second, "", nil)
		wants("the branch's own", feature, "", func(r *schedulerv1.FindRepackRequest) { r.Branch = "feature" })
		wants("a trusted one", second, "", func(r *schedulerv1.FindRepackRequest) { r.Branch = "another" })
		wants("another branch's by id", feature, "", byID(feature))
		wants("another profile", "", "with profile production", func(r *schedulerv1.FindRepackRequest) { r.Profile = "" })
		wants("another profile by id", first, "", func(r *schedulerv1.FindRepackRequest) { r.BuildId, r.Profile = first, "" })
		wants("another project's by id", "", "has no build "+first, func(r *schedulerv1.FindRepackRequest) { r.BuildId, r.Project = first, "other" })
		wants("another platform's by id", "", "has no build "+first, func(r *schedulerv1.FindRepackRequest) { r.BuildId, r.Platform = first, "ios" })
		wants("no such build", "", "has no build gone", byID("gone"))
		running := b.claimed(nil)
		wants("one that runs", "", "has not ended", byID(running))
		fingerprint := b.findRepack(byID(first)).GetSource()
		if fingerprint.GetFingerprint() != "f1" || fingerprint.GetResult().GetName() != "app.apk" || fingerprint.GetBranch() != "main" {
			t.Errorf("source = %v", fingerprint)
		}
		if _, err := ask[schedulerv1.FindRepackResponse](b.bundle, "find_repack", &schedulerv1.FindRepackRequest{Platform: "android"}); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("FindRepack without a project = %v", err)
		}
	})
}

// TestRepackedBuild: the submit is checked again, the claim and the lease say what is repacked, and the build is neither repacked nor reused.
func TestRepackedBuild(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		from := b.native("app.apk", nil, nil)
		for what, edit := range map[string]func(*schedulerv1.SubmitRequest){
			"another project":  func(r *schedulerv1.SubmitRequest) { r.Project = "other" },
			"no project":       func(r *schedulerv1.SubmitRequest) { r.Project, r.ReuseKey = "", nil },
			"another platform": func(r *schedulerv1.SubmitRequest) { r.Platform = "ios" },
			"no such build":    func(r *schedulerv1.SubmitRequest) { r.Settings.RepackFrom = "gone" },
			"no id":            func(r *schedulerv1.SubmitRequest) { r.Settings.RepackFrom = "a b" },
		} {
			if _, err := b.submitRepack(from, edit); !errors.Is(err, build.ErrInvalid) {
				t.Errorf("%s: Submit = %v, want invalid", what, err)
			}
		}
		w := b.labelled(4, map[string]string{"repack": "1"})
		v, err := b.submitRepack(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v.GetSettings().GetRepackFrom() != from || v.GetSettings().GetRequires() != "repack=1" {
			t.Errorf("settings = %v", v.GetSettings())
		}
		w.offered(v.GetId())
		claim, err := b.Claim(t.Context(), w.id, &schedulerv1.ClaimRequest{BuildId: v.GetId(), Attempt: 1, Offered: true})
		if err != nil {
			t.Fatal(err)
		}
		lease, err := b.CheckLease(t.Context(), &schedulerv1.CheckLeaseRequest{WorkerId: w.id, BuildId: v.GetId(), Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		for what, s := range map[string]*schedulerv1.RepackSource{"claim": claim.GetRepack(), "lease": lease.GetRepack()} {
			if s.GetBuildId() != from || s.GetFingerprint() != "f1" || s.GetResult().GetName() != "app.apk" {
				t.Errorf("%s: source = %v", what, s)
			}
		}
		result := b.artifacts.store(v.GetId(), 1)
		b.artifacts.rename(result, "app.apk")
		made := usual()
		made.Repackable = true
		if _, err := b.Finish(t.Context(), w.id, &schedulerv1.FinishRequest{
			WorkerId: w.id, BuildId: v.GetId(), Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_COMPLETED, ResultObjectId: result, Made: made,
		}); err != nil {
			t.Fatal(err)
		}
		if got := b.findRepack(func(r *schedulerv1.FindRepackRequest) { r.BuildId = v.GetId() }); !strings.Contains(got.GetReason(), "is itself repacked from build "+from) {
			t.Errorf("FindRepack of a repacked build = %v", got)
		}
		if got := b.find(nil); got.GetBuild().GetId() != from {
			t.Errorf("FindReuse = %v, want the native build", got)
		}
		if got := b.find(func(r *schedulerv1.FindReuseRequest) { r.Requires = "repack=1" }); got.GetBuild() != nil || !strings.Contains(got.GetReason(), "required other labels") {
			t.Errorf("FindReuse with the label of repacked builds = %v, want none", got)
		}
		list, err := ask[schedulerv1.ListResponse](b.bundle, "list", &schedulerv1.ListRequest{Brief: true})
		if err != nil || len(list.GetBuilds()) != 2 || list.GetBuilds()[0].GetSettings().GetRepackFrom() != from {
			t.Errorf("list = %v, %v, want what was repacked", list, err)
		}
	})
}

// TestRetentionKeepsWhatIsRepacked: a build stays for as long as one that is repacked from it has not ended, and not longer.
func TestRetentionKeepsWhatIsRepacked(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setupReuse(t, open)
		from := b.native("app.apk", nil, nil)
		v, err := b.submitRepack(from, nil)
		if err != nil {
			t.Fatal(err)
		}
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
		b.sweep()
		if n := expires(); n != 0 {
			t.Errorf("%d builds expire while one is repacked, want none", n)
		}
		if _, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: from}); err != nil {
			t.Errorf("the source: %v", err)
		}
		if _, err := b.Cancel(t.Context(), &schedulerv1.CancelRequest{BuildId: v.GetId()}); err != nil {
			t.Fatal(err)
		}
		// The scheduler's own sweep may have been faster.
		n := expires()
		if _, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: from}); n != 1 && err == nil {
			t.Errorf("%d builds expire afterwards, want the source", n)
		}
	})
}
