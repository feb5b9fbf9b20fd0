package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// labelled is a worker that reports labels and receives offers.
type labelled struct {
	b      *bundle
	id     string
	offers chan *eventsv1.Offer
}

func (b *bundle) labelled(slots int32, labels map[string]string) *labelled {
	b.t.Helper()
	w := &labelled{b: b, id: b.worker(slots), offers: make(chan *eventsv1.Offer, 1000)}
	sub, err := b.nc.SubscribeSync(bus.ControlSubject(w.id))
	if err == nil {
		err = b.nc.Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	go func() {
		for {
			m, err := sub.NextMsgWithContext(b.t.Context())
			if err != nil {
				return
			}
			var c eventsv1.Control
			if proto.Unmarshal(m.Data, &c) == nil && c.GetOffer() != nil {
				w.offers <- c.GetOffer()
			}
		}
	}()
	w.sync(&schedulerv1.SyncRequest{Abilities: &schedulerv1.Abilities{Labels: labels, Offers: true}})
	return w
}

func (w *labelled) sync(r *schedulerv1.SyncRequest) {
	w.b.t.Helper()
	if _, err := w.b.Sync(w.b.t.Context(), w.id, r); err != nil {
		w.b.t.Fatal(err)
	}
}

// offered waits for an offer of the build.
func (w *labelled) offered(id string) *eventsv1.Offer {
	w.b.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case o := <-w.offers:
			if o.GetBuildId() == id {
				return o
			}
		case <-deadline:
			w.b.t.Fatalf("build %s is not offered", id)
		}
	}
}

func (w *labelled) claim(id string, attempt int32) error {
	_, err := w.b.Claim(w.b.t.Context(), w.id, &schedulerv1.ClaimRequest{BuildId: id, Attempt: attempt, Offered: true})
	return err
}

func (b *bundle) require(project, requires, prefers string) *schedulerv1.SubmitResponse {
	b.t.Helper()
	resp, err := b.Submit(b.t.Context(), &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Project: project, Platform: "ios", Prefers: prefers,
		Source:   &eventsv1.ObjectRef{ObjectId: build.NewID(), Size: 1, Sha256: "00"},
		Settings: &schedulerv1.BuildSettings{Requires: requires},
	})
	if err != nil {
		b.t.Fatalf("Submit: %v", err)
	}
	return resp
}

// waitsBecause waits until the reason why a build waits contains a text.
func (b *bundle) waitsBecause(id, text string) {
	b.t.Helper()
	last := ""
	defer func() {
		if b.t.Failed() {
			b.t.Logf("build %s waits for: %s", id, last)
		}
	}()
	b.eventually(id, func(v *schedulerv1.Build) bool {
		last = v.GetWaitingFor()
		return strings.Contains(last, text)
	})
}

// TestRequiredLabels: a build with requirements is offered to a worker that meets them, is on no queue, and no other worker can claim it.
func TestRequiredLabels(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		other, old := b.labelled(4, map[string]string{"xcode": "16.4"}), b.worker(4)
		polling := build.NewID()
		if _, err := b.RegisterWorker(t.Context(), &schedulerv1.RegisterWorkerRequest{
			WorkerId: polling, Name: "v1", Polls: true, Labels: map[string]string{"xcode": "26.1"},
		}); err != nil {
			t.Fatal(err)
		}
		resp := b.require("app", "xcode=26, os=macos", "")
		id := resp.GetBuild().GetId()
		if w := strings.Join(resp.GetWarnings(), "\n"); !strings.Contains(w, "waits for a worker with os=macos, xcode=26") {
			t.Errorf("warnings = %q", w)
		}
		b.waitsBecause(id, "no worker for ios in pool default has the label os=macos: known are labels of xcode")
		mac := b.labelled(1, map[string]string{"xcode": "26.1", "os": "macos"})
		o := mac.offered(id)
		if v := b.state(id, build.Pending); v.GetSettings().GetRequires() != "os=macos,xcode=26" || v.GetAttempt() != o.GetAttempt() {
			t.Errorf("build = %v", v)
		}
		stream, err := b.js.Stream(t.Context(), bus.QueueStream)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 0 {
			t.Errorf("%d hand-outs on the queue, %v", info.State.Msgs, err)
		}
		if err := other.claim(id, o.GetAttempt()); !errors.Is(err, build.ErrNotEligible) {
			t.Errorf("claim of a worker with other labels = %v", err)
		}
		for _, offered := range []bool{true, false} {
			_, err := b.Claim(t.Context(), old, &schedulerv1.ClaimRequest{BuildId: id, Attempt: o.GetAttempt(), Offered: offered})
			if !errors.Is(err, build.ErrNotEligible) && !errors.Is(err, build.ErrNotQueued) {
				t.Errorf("claim of a worker without labels (offered %v) = %v", offered, err)
			}
		}
		if p, err := b.Poll(t.Context(), &schedulerv1.PollRequest{WorkerId: polling}); err != nil || p.GetBuild() != nil {
			t.Errorf("Poll = %v, %v", p, err)
		}
		if err := mac.claim(id, o.GetAttempt()); err != nil {
			t.Fatal(err)
		}
		if v := b.state(id, build.Assigned); v.GetWorkerId() != mac.id {
			t.Errorf("assigned to %s", v.GetWorkerId())
		}
		if err := mac.claim(id, o.GetAttempt()); err != nil { // the answer was lost
			t.Errorf("repeated claim = %v", err)
		}
		next := b.require("app", "xcode=26", "").GetBuild().GetId()
		b.waitsBecause(next, "workers with xcode=26 are busy: 1 of 1")
		if w := b.require("app", "xcode=26", "").GetWarnings(); len(w) > 0 {
			t.Errorf("warnings while the worker is busy = %q", w)
		}
		mac.sync(&schedulerv1.SyncRequest{Holding: []*schedulerv1.Lease{{BuildId: id, Attempt: 1}}, Leaving: true})
		b.waitsBecause(next, "which has xcode=26, is offline since")
	})
}

// TestUnclaimedOffer: what a worker does not claim is offered to another one, and a restart of the scheduler forgets nothing.
func TestUnclaimedOffer(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, srv := open(t), bustest.Start(t)
		b := setupWith(t, db, srv, testConfig())
		labels := map[string]string{"image": "sonoma"}
		one, two := b.labelled(1, labels), b.labelled(1, labels)
		id := b.require("app", "image=sonoma", "").GetBuild().GetId()
		first, second := one, two
		select {
		case <-one.offers:
		case <-two.offers:
			first, second = two, one
		case <-time.After(20 * time.Second):
			t.Fatal("not offered")
		}
		second.offered(id)
		first.offered(id) // after all have been asked
		b.stop()
		b = setupWith(t, db, srv, testConfig())
		one.b, two.b = b, b
		for len(one.offers)+len(two.offers) > 0 {
			select {
			case <-one.offers:
			case <-two.offers:
			}
		}
		select {
		case o := <-one.offers:
			if err := one.claim(id, o.GetAttempt()); err != nil {
				t.Error(err)
			}
		case o := <-two.offers:
			if err := two.claim(id, o.GetAttempt()); err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("not offered after a restart")
		}
	})
}

// TestLabelsHoldNothingBack: builds whose worker is missing or busy do not delay others of their project and lane.
func TestLabelsHoldNothingBack(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.worker(1)
		mac := b.labelled(1, map[string]string{"xcode": "26"})
		busy := b.require("app", "xcode=26", "").GetBuild().GetId()
		if err := mac.claim(busy, mac.offered(busy).GetAttempt()); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			b.require("app", "xcode=99", "")
			b.require("app", "xcode=26", "")
		}
		id := b.submit("app", "ios", 0).GetId()
		v := b.state(id, build.Queued)
		if v.GetPosition() > 3 {
			t.Errorf("position %d", v.GetPosition())
		}
	})
}

// TestPreferredLabels: what no worker has is dropped with a warning, what one has is required.
func TestPreferredLabels(t *testing.T) {
	t.Parallel()
	b := setupWith(t, sqlite(t), bustest.Start(t), testConfig())
	alone := b.require("app", "", "image=macos-26")
	if w := strings.Join(alone.GetWarnings(), "\n"); !strings.Contains(w, "image=macos-26 is asked for") || !strings.Contains(w, "No connected worker can build ios") {
		t.Errorf("warnings without a worker = %q", w)
	}
	mac := b.labelled(2, map[string]string{"image": "macos-26", "os": "macos"})
	resp := b.require("app", "", "image=macos-26,resource-class=large")
	if r := resp.GetBuild().GetSettings().GetRequires(); r != "image=macos-26" {
		t.Errorf("requires %q", r)
	}
	if w := strings.Join(resp.GetWarnings(), "\n"); !strings.Contains(w, "resource-class=large is asked for, but no worker has it") || strings.Contains(w, "waits") {
		t.Errorf("warnings = %q", w)
	}
	mac.offered(resp.GetBuild().GetId())
	resp = b.require("app", "", "image=latest,resource-class=default")
	if resp.GetBuild().GetSettings() != nil || len(resp.GetWarnings()) > 0 {
		t.Errorf("of what anything will do: %v", resp)
	}
	if _, err := b.Submit(t.Context(), &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Platform: "ios", Source: &eventsv1.ObjectRef{ObjectId: "o"}, Prefers: "nonsense",
	}); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("a label without value = %v", err)
	}
}

// TestLabelledBuildsCount: the limit of a project holds for offered builds, too, in the transaction of the claim.
func TestLabelledBuildsCount(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		if _, err := b.SetProjectRule(t.Context(), &schedulerv1.SetProjectRuleRequest{Rule: &schedulerv1.ProjectRule{Project: "app", MaxRunning: 1}}); err != nil {
			t.Fatal(err)
		}
		mac := b.labelled(4, map[string]string{"xcode": "26"})
		one, two := b.require("app", "xcode=26", "").GetBuild().GetId(), b.require("app", "xcode=26", "").GetBuild().GetId()
		if err := mac.claim(one, mac.offered(one).GetAttempt()); err != nil {
			t.Fatal(err)
		}
		if err := mac.claim(two, 1); !errors.Is(err, build.ErrNotQueued) {
			t.Errorf("claim beyond the limit = %v", err)
		}
		b.waitsBecause(two, "is at its limit of 1 running builds")
	})
}

// TestStickyWorker: a build is offered first to the worker that built its project last. If that one does not claim it, or is busy, any
// worker may have it. A scheduler that has just started finds the worker in SQL.
func TestStickyWorker(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, srv := open(t), bustest.Start(t)
		stored := serveArtifacts(t, srv)
		b := setupWith(t, db, srv, testConfig())
		one, two := b.labelled(1, nil), b.labelled(1, nil)
		complete := func(w *labelled, id string) {
			t.Helper()
			if _, err := b.Finish(t.Context(), w.id, &schedulerv1.FinishRequest{
				BuildId: id, Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_COMPLETED, ResultObjectId: stored.store(id, 1),
			}); err != nil {
				t.Fatal(err)
			}
		}
		first := b.submit("app", "ios", 0).GetId()
		b.mustClaim(one.id, first)
		complete(one, first)

		sticky := b.submit("app", "ios", 0).GetId()
		if err := one.claim(sticky, one.offered(sticky).GetAttempt()); err != nil {
			t.Fatal(err)
		}
		busy := b.submit("app", "ios", 0).GetId()
		b.mustClaim(two.id, busy)
		if len(one.offers)+len(two.offers) > 0 {
			t.Error("a build was offered although the worker that built its project last is busy")
		}
		complete(one, sticky)
		complete(two, busy)

		unclaimed := b.submit("app", "ios", 0).GetId()
		two.offered(unclaimed)
		b.mustClaim(one.id, unclaimed)
		complete(one, unclaimed)

		b.stop()
		b = setupWith(t, db, srv, testConfig())
		one.b, two.b = b, b
		afterRestart := b.submit("app", "ios", 0).GetId()
		one.offered(afterRestart)
	})
}
