package scheduler

import (
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// last reads the newest event of a kind of a build.
func (b *bundle) last(id string, e bus.Event, into proto.Message) {
	b.t.Helper()
	if err := b.machine.Relay.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	s, err := b.js.Stream(b.t.Context(), bus.EventsStream)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(b.t.Context(), bus.BuildSubject(id, e))
	if err == nil {
		err = proto.Unmarshal(m.Data, into)
	}
	if err != nil {
		b.t.Fatalf("%s of %s: %v", e, id, err)
	}
}

func (b *bundle) enter(worker, id, stage string, more *schedulerv1.StageRequest) {
	b.t.Helper()
	r := &schedulerv1.StageRequest{BuildId: id, Attempt: 1, Stage: stage, TtlSeconds: more.GetTtlSeconds(), TimeoutSeconds: more.GetTimeoutSeconds()}
	if _, err := b.Stage(b.t.Context(), worker, r); err != nil {
		b.t.Fatal(err)
	}
}

// TestTimeoutsOfAProject reach whoever keeps a lease: the claim, the stage's event, the reader of a build; and go with their
// removal.
func TestTimeoutsOfAProject(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		set := &schedulerv1.Timeouts{Project: "app", StageTtlSeconds: map[string]int32{"pods": 1200, "prepare": 77}, TimeoutSeconds: 600}
		if _, err := b.SetTimeouts(t.Context(), &schedulerv1.SetTimeoutsRequest{Timeouts: set}); err != nil {
			t.Fatal(err)
		}
		worker, v := b.worker(2), b.submit("app", "ios", 0)
		other := b.submit("other", "ios", 0)
		b.state(v.GetId(), build.Queued)
		resp, err := b.Claim(t.Context(), worker, &schedulerv1.ClaimRequest{BuildId: v.GetId(), Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		if ttl := resp.GetStageTtlSeconds(); ttl["pods"] != 1200 || ttl["install"] != 300 || resp.GetTimeoutSeconds() != 600 ||
			resp.GetMaxTimeoutSeconds() != 12*3600 || resp.GetMaxStageTtlSeconds() != 3600 {
			t.Errorf("claim = %v", resp)
		}
		var assigned eventsv1.BuildAssigned
		if b.last(v.GetId(), bus.Assigned, &assigned); assigned.GetTtlSeconds() != 77 || assigned.GetProject() != "app" || assigned.GetSubmittedAtMs() == 0 {
			t.Errorf("assigned = %v", &assigned)
		}
		b.enter(worker, v.GetId(), "pods", nil)
		var stage eventsv1.BuildStageChanged
		if b.last(v.GetId(), bus.Stage, &stage); stage.GetTtlSeconds() != 1200 || stage.GetEndedStage() != "" {
			t.Errorf("stage = %v", &stage)
		}
		if got, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: v.GetId(), Brief: true}); err != nil || got.GetBuild().GetStageTtlSeconds() != 1200 {
			t.Errorf("build = %v, %v", got, err)
		}
		b.mustClaim(worker, other.GetId())
		b.enter(worker, other.GetId(), "pods", nil)
		if b.last(other.GetId(), bus.Stage, &stage); stage.GetTtlSeconds() != 600 {
			t.Errorf("another project's stage = %v", &stage)
		}
		if _, err := b.SetTimeouts(t.Context(), &schedulerv1.SetTimeoutsRequest{Timeouts: &schedulerv1.Timeouts{Project: "app"}}); err != nil {
			t.Fatal(err)
		}
		got, err := b.GetTimeouts(t.Context(), &schedulerv1.GetTimeoutsRequest{Project: "app"})
		if err != nil || len(got.GetOwn().GetStageTtlSeconds()) != 0 || got.GetEffective().GetStageTtlSeconds()["pods"] != 600 ||
			got.GetEffective().GetTimeoutSeconds() != 7200 || got.GetEffective().GetWaitAlertSeconds() != 900 {
			t.Errorf("timeouts = %v, %v", got, err)
		}
	})
}

func TestTimeoutsBeyondTheMaxima(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	for name, x := range map[string]*schedulerv1.Timeouts{
		"no project":   {TimeoutSeconds: 5},
		"long build":   {Project: "a", TimeoutSeconds: 13 * 3600},
		"long silence": {Project: "a", StageTtlSeconds: map[string]int32{"pods": 3601}},
		"no silence":   {Project: "a", StageTtlSeconds: map[string]int32{"pods": 0}},
		"odd stage":    {Project: "a", StageTtlSeconds: map[string]int32{"a b": 5}},
		"odd alert":    {Project: "a", WaitAlertSeconds: -2},
	} {
		if _, err := b.SetTimeouts(t.Context(), &schedulerv1.SetTimeoutsRequest{Timeouts: x}); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s: err = %v, want %v", name, err, build.ErrInvalid)
		}
	}
}

// TestAProfilesTimeouts hold for the build that asked for them, within the maxima, and for its stage.
func TestAProfilesTimeouts(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		worker := b.worker(3)
		quick, slow, plain := b.submit("app", "ios", 0), b.submit("app", "ios", 0), b.submit("app", "ios", 0)
		for _, v := range []*schedulerv1.Build{quick, slow, plain} {
			b.mustClaim(worker, v.GetId())
		}
		b.enter(worker, quick.GetId(), "install", &schedulerv1.StageRequest{TimeoutSeconds: 60, TtlSeconds: 11})
		b.enter(worker, slow.GetId(), "install", &schedulerv1.StageRequest{TimeoutSeconds: 100 * 3600, TtlSeconds: 100 * 3600})
		b.enter(worker, plain.GetId(), "install", nil)
		b.enter(worker, plain.GetId(), "install", nil) // its answer was lost
		if n := len(b.events(plain.GetId())); n != 5 {
			t.Errorf("events = %v, want 5", b.events(plain.GetId()))
		}
		var stage eventsv1.BuildStageChanged
		if b.last(quick.GetId(), bus.Stage, &stage); stage.GetTtlSeconds() != 11 {
			t.Errorf("stage = %v", &stage)
		}
		if b.last(slow.GetId(), bus.Stage, &stage); stage.GetTtlSeconds() != 3600 {
			t.Errorf("stage = %v, want the longest that is allowed", &stage)
		}
		b.enter(worker, quick.GetId(), "pods", &schedulerv1.StageRequest{TimeoutSeconds: 60})
		if b.last(quick.GetId(), bus.Stage, &stage); stage.GetTtlSeconds() != 600 || stage.GetEndedStage() != "install" || stage.GetEndedStageAtMs() == 0 {
			t.Errorf("stage = %v, want the configuration's TTL and the end of install", &stage)
		}
		for _, step := range []struct {
			after  time.Duration
			failed []*schedulerv1.Build
		}{{time.Minute, nil}, {3 * time.Minute, []*schedulerv1.Build{quick}}, {3 * time.Hour, []*schedulerv1.Build{plain}}, {13 * time.Hour, []*schedulerv1.Build{slow}}} {
			b.skew.Store(int64(step.after))
			if err := (&overdue{Scheduler: b.Scheduler}).failOverdue(t.Context(), b.now()); err != nil {
				t.Fatal(err)
			}
			for _, v := range step.failed {
				b.state(v.GetId(), build.Failed)
			}
		}
		if v := b.state(quick.GetId(), build.Failed); v.GetError() != "Build timed out after 1m0s" {
			t.Errorf("error = %q", v.GetError())
		}
		var failed eventsv1.BuildFailed
		b.last(quick.GetId(), bus.Failed, &failed)
		if l := failed.GetLife(); l.GetProject() != "app" || l.GetStage() != "pods" || l.GetStageAtMs() == 0 || l.GetAssignedAtMs() == 0 || l.GetSubmittedAtMs() == 0 {
			t.Errorf("life = %v", l)
		}
	})
}

// TestALongWaitIsToldOnce, with the reason, and by the project's own time if it has one.
func TestALongWaitIsToldOnce(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		for _, x := range []*schedulerv1.Timeouts{{Project: "hasty", WaitAlertSeconds: 60}, {Project: "patient", WaitAlertSeconds: -1}} {
			if _, err := b.SetTimeouts(t.Context(), &schedulerv1.SetTimeoutsRequest{Timeouts: x}); err != nil {
				t.Fatal(err)
			}
		}
		hasty, patient, usual := b.submit("hasty", "ios", 0), b.submit("patient", "ios", 0), b.submit("usual", "ios", 0)
		told := func(v *schedulerv1.Build) bool { return slices.Contains(b.events(v.GetId()), string(bus.Waiting)) }
		look := func(after time.Duration) {
			t.Helper()
			b.skew.Store(int64(after))
			if err := (waitAlerts{b.Scheduler}).alert(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if look(30 * time.Second); told(hasty) || told(usual) {
			t.Error("told early")
		}
		if look(2 * time.Minute); !told(hasty) || told(usual) {
			t.Errorf("after 2 min: told = %v, %v, want true, false", told(hasty), told(usual))
		}
		look(20 * time.Minute)
		look(40 * time.Minute)
		if !told(usual) || told(patient) {
			t.Errorf("after 20 min: told = %v, %v, want true, false", told(usual), told(patient))
		}
		n := 0
		for _, e := range b.events(hasty.GetId()) {
			if e == string(bus.Waiting) {
				n++
			}
		}
		var w eventsv1.BuildWaiting
		b.last(hasty.GetId(), bus.Waiting, &w)
		if n != 1 || w.GetProject() != "hasty" || w.GetReason() == "" || w.GetAtMs()-w.GetSubmittedAtMs() < 60_000 {
			t.Errorf("told %d times, %v", n, &w)
		}
	})
}
