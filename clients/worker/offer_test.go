package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// stored adds a build that is on no queue.
func (f *farm) stored(source []byte) string {
	f.t.Helper()
	id := build.NewID()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[id] = source
	f.builds[id] = &farmBuild{spec: &schedulerv1.Build{
		Id: id, Platform: "android", Pool: build.DefaultPool, Attempt: 1,
		Source: &eventsv1.ObjectRef{ObjectId: id, Size: int64(len(source)), Sha256: sum(source)},
	}}
	return id
}

func offerOf(id string, valid time.Duration) *eventsv1.Control {
	return &eventsv1.Control{Order: &eventsv1.Control_Offer{Offer: &eventsv1.Offer{BuildId: id, Attempt: 1, ValidMs: int32(valid.Milliseconds())}}}
}

// TestOfferGetsTheNextSlot: a busy worker gives its next slot to the build that is offered to it, although others lie on the queue.
func TestOfferGetsTheNextSlot(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	claims := make(chan *schedulerv1.ClaimRequest, 100)
	f.onClaim = func(_ string, r *schedulerv1.ClaimRequest) error {
		claims <- r
		return nil
	}
	f.start(f.fake("hang,stage=install"), func(c *worker.Config) { c.Slots = 1 })
	running := f.submit(app(t))
	f.inStage(running, "install")
	holder := f.await(running, "held", func(b *farmBuild) bool { return b.holder != "" }).holder
	queued := f.submit(app(t))
	f.eventually("the next hand-out lies in the queue", func() bool { return f.queued() == 1 })
	offered := f.stored(app(t))
	for range 3 { // the scheduler repeats it
		f.control(holder, offerOf(offered, 30*time.Second))
	}
	f.control(holder, cancelOrder(running))
	f.inStage(offered, "install")
	if r := <-claims; r.GetBuildId() != running || r.GetOffered() {
		t.Errorf("first claim = %v", r)
	}
	if r := <-claims; r.GetBuildId() != offered || !r.GetOffered() {
		t.Errorf("second claim = %v, want that of the offer", r)
	}
	f.control(holder, cancelOrder(offered))
	f.inStage(queued, "install")
	if n := len(claims); n != 1 {
		t.Errorf("%d more claims, want one: an offer that is repeated is claimed once", n)
	}
	f.control(holder, cancelOrder(queued))
}

// TestOfferExpires: an offer that a busy worker could not claim in time holds no slot.
func TestOfferExpires(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.fake("hang,stage=install"), func(c *worker.Config) { c.Slots = 1 })
	running := f.submit(app(t))
	f.inStage(running, "install")
	holder := f.await(running, "held", func(b *farmBuild) bool { return b.holder != "" }).holder
	gone, queued := f.stored(app(t)), f.submit(app(t))
	f.control(holder, offerOf(gone, 50*time.Millisecond))
	after := f.stored(app(t))
	f.control(holder, offerOf(after, 30*time.Second))
	<-time.After(200 * time.Millisecond) // longer than the first offer is valid
	f.control(holder, cancelOrder(running))
	f.inStage(after, "install")
	f.control(holder, cancelOrder(after))
	f.inStage(queued, "install")
	if n := f.await(gone, "known", func(*farmBuild) bool { return true }).claims; n != 0 {
		t.Errorf("the expired offer was claimed %d times", n)
	}
	f.control(holder, cancelOrder(queued))
}

// TestLabelsAreReported: the configuration's labels at once, those of the machine when they are known. They do not delay the join.
func TestLabelsAreReported(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	said := make(chan *schedulerv1.Abilities, 100)
	f.onSync = func(r *schedulerv1.SyncRequest) []*schedulerv1.Lease {
		said <- r.GetAbilities()
		return nil
	}
	detect := make(chan struct{})
	f.startWith(f.fake("lines=1"), func(c *worker.Config) {
		c.Labels = build.Labels{"image": "sonoma", "node": "20"}
	}, func(d *worker.Deps) {
		d.Detect = func(ctx context.Context) build.Labels {
			select {
			case <-detect:
			case <-ctx.Done():
			}
			return build.Labels{"node": "22.1.0", "os": "macos"}
		}
	})
	labels := func(want build.Requirements) func() bool {
		return func() bool {
			select {
			case a := <-said:
				return build.Require(a.GetLabels()) == want && a.GetOffers()
			default:
				return false
			}
		}
	}
	f.eventually("its own labels", labels("image=sonoma,node=20"))
	close(detect)
	f.eventually("all labels", labels("image=sonoma,node=20,os=macos"))
	if bad := (worker.Config{Name: "x", StateDir: "/", Labels: build.Labels{"a b": "c"}}).Validate(); bad == nil {
		t.Error("an invalid label is valid")
	}
}
