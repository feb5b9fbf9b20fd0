package scheduler

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const (
	completed = schedulerv1.FinishRequest_OUTCOME_COMPLETED
	failed    = schedulerv1.FinishRequest_OUTCOME_FAILED
	infra     = schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE
	handed    = schedulerv1.FinishRequest_OUTCOME_HANDED_BACK
)

// TestLifeOfABuild is one build from submit to result, and what the world hears of it.
func TestLifeOfABuild(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		store := serveArtifacts(t, b.srv)
		w := b.worker(1, "android")
		v := b.submit("app", "android", 0)
		claimed := b.mustClaim(w, v.GetId())
		if claimed.GetState() != "assigned" || claimed.GetWorkerId() != w {
			t.Errorf("claimed = %v", claimed)
		}
		for _, stage := range []string{"prepare", "install"} {
			if _, err := b.Stage(t.Context(), w, &schedulerv1.StageRequest{BuildId: v.GetId(), Attempt: 1, Stage: stage}); err != nil {
				t.Fatal(err)
			}
		}
		req := &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: 1, Outcome: completed, ResultObjectId: store.store(v.GetId(), 1)}
		for range 2 { // the second time as after a lost answer
			done, err := b.Finish(t.Context(), w, req)
			if err != nil || done.GetBuild().GetState() != "completed" || done.GetBuild().GetResult().GetSha256() != "abc" {
				t.Fatalf("Finish = %v, %v", done, err)
			}
			b.lastLine(v.GetId(), "Build completed successfully")
		}
		want := []string{"submitted", "queued", "assigned", "started", "stage", "stage", "completed"}
		if diff := cmp.Diff(want, b.events(v.GetId())); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestHandOutReachesTheQueue: the invitation lies on BUILD_QUEUE under the build's own subject, once.
func TestHandOutReachesTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.worker(1, "ios")
	v := b.submit("app", "ios", 0)
	m := b.fetch("ios")
	var h schedulerv1.HandOut
	if err := proto.Unmarshal(m.Data(), &h); err != nil || h.GetBuildId() != v.GetId() || h.GetAttempt() != 1 {
		t.Errorf("hand-out = %v, %v", &h, err)
	}
}

func (b *bundle) fetch(platform string) jetstream.Msg {
	b.t.Helper()
	cons, err := b.js.Consumer(b.t.Context(), bus.QueueStream, bus.QueueConsumer(build.DefaultPool, platform))
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		b.t.Fatalf("nothing on offer: %v", err)
	}
	return m
}

func TestZombieChangesNothing(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		store := serveArtifacts(t, b.srv)
		first, second := b.worker(1), b.worker(1)
		v := b.submit("app", "ios", 0)
		b.mustClaim(first, v.GetId())
		if err := b.loseLease(t.Context(), v.GetId(), 1, "silence"); err != nil {
			t.Fatal(err)
		}
		late := &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: 1, Outcome: completed, ResultObjectId: store.store(v.GetId(), 1)}
		if _, err := b.Finish(t.Context(), first, late); !errors.Is(err, build.ErrLeaseLost) {
			t.Errorf("late finish = %v, want lease lost", err)
		}
		b.mustClaim(second, v.GetId())
		for name, err := range map[string]error{
			"finish": second2(b.Finish(t.Context(), first, late)),
			"stage":  second2(b.Stage(t.Context(), first, &schedulerv1.StageRequest{BuildId: v.GetId(), Attempt: 1, Stage: "install"})),
			"check":  second2(b.CheckLease(t.Context(), &schedulerv1.CheckLeaseRequest{WorkerId: first, BuildId: v.GetId(), Attempt: 1})),
			"claim":  second2(b.Claim(t.Context(), first, &schedulerv1.ClaimRequest{BuildId: v.GetId(), Attempt: 1})),
		} {
			if !errors.Is(err, build.ErrLeaseLost) && !errors.Is(err, build.ErrTaken) {
				t.Errorf("%s by the first worker = %v, want a refusal", name, err)
			}
		}
		if got := b.state(v.GetId(), build.Assigned); got.GetWorkerId() != second || got.GetAttempt() != 2 {
			t.Errorf("build = %v, want the second worker's", got)
		}
	})
}

func second2[T any](_ T, err error) error { return err }

func TestInfrastructureFailuresAreTriedAgainOwnFailuresNot(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.worker(1)
	v := b.submit("app", "ios", 0)
	for attempt := int32(1); attempt <= 3; attempt++ {
		b.mustClaim(w, v.GetId())
		_, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: attempt, Outcome: infra, Error: "disk full"})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := b.state(v.GetId(), build.Failed); got.GetError() != "Build failed: 3 attempts were lost, the last because disk full" {
		t.Errorf("error = %q", got.GetError())
	}

	v = b.submit("app", "ios", 0)
	b.mustClaim(w, v.GetId())
	if _, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: 1, Outcome: failed, Error: "exit 1"}); err != nil {
		t.Fatal(err)
	}
	b.state(v.GetId(), build.Failed)

	v = b.submit("app", "ios", 0)
	for attempt := int32(1); attempt <= 5; attempt++ { // handing back is not held against the build
		b.mustClaim(w, v.GetId())
		if _, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: attempt, Outcome: handed}); err != nil {
			t.Fatal(err)
		}
	}
	b.state(v.GetId(), build.Queued)
}

func TestClaimRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	mac, linux := b.worker(1, "ios"), b.worker(1, "android")
	one, two := b.submit("app", "ios", 0), b.submit("app", "ios", 0)
	b.state(one.GetId(), build.Queued)
	claim := func(worker, id string, attempt int32) error {
		return second2(b.Claim(t.Context(), worker, &schedulerv1.ClaimRequest{BuildId: id, Attempt: attempt}))
	}
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"wrong platform", claim(linux, one.GetId(), 1), build.ErrNotEligible},
		{"unknown worker", claim("nobody", one.GetId(), 1), build.ErrWorkerUnknown},
		{"unknown build", claim(mac, "nothing", 1), build.ErrNotFound},
		{"attempt to come", claim(mac, one.GetId(), 2), build.ErrNotQueued},
		{"first", claim(mac, one.GetId(), 1), nil},
		{"again by the holder", claim(mac, one.GetId(), 1), nil},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: Claim = %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	b.state(two.GetId(), build.Queued) // the window lets one more out than there are slots
	if err := claim(mac, two.GetId(), 1); !errors.Is(err, build.ErrNoSlot) {
		t.Errorf("Claim beyond the slots = %v, want %v", err, build.ErrNoSlot)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.worker(1)
	orders, err := b.nc.SubscribeSync(bus.ControlSubject(w))
	if err != nil {
		t.Fatal(err)
	}
	v := b.submit("app", "ios", 0)
	b.mustClaim(w, v.GetId())
	for range 2 {
		resp, err := b.Cancel(t.Context(), &schedulerv1.CancelRequest{BuildId: v.GetId()})
		if err != nil && !errors.Is(err, build.ErrFinished) {
			t.Errorf("Cancel = %v, %v", resp, err)
		}
		b.lastLine(v.GetId(), "Build cancelled")
	}
	m, err := orders.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatalf("the worker was not told: %v", err)
	}
	var order eventsv1.Control
	if err := proto.Unmarshal(m.Data, &order); err != nil || order.GetCancel().GetBuildId() != v.GetId() {
		t.Errorf("order = %v, %v", &order, err)
	}
	_, err = b.Finish(t.Context(), w, &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: 1, Outcome: failed})
	if !errors.Is(err, build.ErrLeaseLost) {
		t.Errorf("finish of a cancelled build = %v, want lease lost", err)
	}
	b.state(v.GetId(), build.Cancelled)
}

func TestRestartedWorkerGivesItsBuildsBack(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.worker(2)
	kept, forgotten := b.submit("app", "ios", 0), b.submit("app", "ios", 0)
	b.mustClaim(w, kept.GetId())
	b.mustClaim(w, forgotten.GetId())
	resp, err := b.Sync(t.Context(), w, &schedulerv1.SyncRequest{Holding: []*schedulerv1.Lease{
		{BuildId: kept.GetId(), Attempt: 1}, {BuildId: "stranger", Attempt: 1},
	}})
	if err != nil || len(resp.GetLost()) != 1 || resp.GetLost()[0].GetBuildId() != "stranger" {
		t.Fatalf("Sync = %v, %v, want the stranger lost", resp, err)
	}
	b.state(forgotten.GetId(), build.Assigned) // not a fresh process: nothing is taken away
	if _, err := b.Sync(t.Context(), w, &schedulerv1.SyncRequest{Fresh: true, Holding: []*schedulerv1.Lease{{BuildId: kept.GetId(), Attempt: 1}}}); err != nil {
		t.Fatal(err)
	}
	b.state(kept.GetId(), build.Assigned)
	if got := b.eventually(forgotten.GetId(), func(v *schedulerv1.Build) bool { return v.GetAttempt() == 2 }); got.GetWorkerId() != "" {
		t.Errorf("the forgotten build is still %v", got)
	}
}

func TestStalledEventEndsTheAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.worker(1)
	v := b.submit("app", "ios", 0)
	b.mustClaim(w, v.GetId())
	for range 2 { // told twice, taken once
		m, err := bus.NewMessage(t.Context(), "monitor", bus.BuildSubject(v.GetId(), bus.Stalled), time.Now(),
			&eventsv1.BuildStalled{BuildId: v.GetId(), Attempt: 1, WorkerId: w, Stage: "install"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bus.PublishAll(t.Context(), b.js, []bus.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	b.eventually(v.GetId(), func(v *schedulerv1.Build) bool { return v.GetAttempt() == 2 && v.GetState() == "queued" })
}

// TestWipedQueueIsRebuilt: the stream is deleted and comes back with what SQL says is on offer.
func TestWipedQueueIsRebuilt(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.worker(1, "ios")
	v := b.submit("app", "ios", 0)
	b.state(v.GetId(), build.Queued)
	if err := b.machine.Relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(t.Context(), bus.QueueStream); err != nil {
		t.Fatal(err)
	}
	b.skew.Store(int64(handout.SettleTime))
	if err := b.queue.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	var h schedulerv1.HandOut
	if err := proto.Unmarshal(b.fetch("ios").Data(), &h); err != nil || h.GetBuildId() != v.GetId() {
		t.Errorf("on offer = %v, %v, want %s", &h, err, v.GetId())
	}
}

// TestStaleHandOutIsPurged: what SQL does not offer does not stay in the stream.
func TestStaleHandOutIsPurged(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.worker(1, "ios")
	v := b.submit("app", "ios", 0)
	b.state(v.GetId(), build.Queued)
	if _, err := b.Cancel(t.Context(), &schedulerv1.CancelRequest{BuildId: v.GetId()}); err != nil {
		t.Fatal(err)
	}
	if err := b.machine.Relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.queue.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := b.js.Stream(t.Context(), bus.QueueStream)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("the queue holds %d messages, %v, want none", info.State.Msgs, err)
	}
}

func TestOverdueBuildFails(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.worker(1)
	v := b.submit("app", "ios", 0)
	b.mustClaim(w, v.GetId())
	b.skew.Store(int64(3 * time.Hour))
	if err := (&overdue{Scheduler: b.Scheduler}).failOverdue(t.Context(), b.now()); err != nil {
		t.Fatal(err)
	}
	if got := b.state(v.GetId(), build.Failed); got.GetError() != "Build timed out after 2h0m0s" {
		t.Errorf("error = %q", got.GetError())
	}
}
