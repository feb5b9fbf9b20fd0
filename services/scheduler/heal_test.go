package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// handOuts returns the sequence numbers in BUILD_QUEUE for a build's first attempt.
func (b *bundle) handOuts(id string) []uint64 {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), bus.QueueStream)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []uint64
	for from := uint64(1); ; {
		m, err := stream.GetMsg(b.t.Context(), from, jetstream.WithGetMsgSubject(bus.QueueSubject("default", "ios", id, 1)))
		if err != nil {
			return all
		}
		all, from = append(all, m.Sequence), m.Sequence+1
	}
}

func (b *bundle) await(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestUnclaimedHandOutIsOfferedAgain: the stream still holds the message and will not deliver it, as after JetStream forgot it. Here
// a puller holds it and never claims. A fresh hand-out replaces it, which the next worker gets.
func TestUnclaimedHandOutIsOfferedAgain(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.worker(1, "ios")
		id := b.submit("app", "ios", 0).GetId()
		b.state(id, build.Queued)
		b.await("the hand-out is in the stream", func() bool { return len(b.handOuts(id)) == 1 })
		cons, err := b.js.Consumer(t.Context(), bus.QueueStream, bus.QueueConsumer("default", "ios"))
		if err != nil {
			t.Fatal(err)
		}
		stuck, err := cons.Next()
		if err != nil {
			t.Fatal(err)
		}
		first := b.handOuts(id)[0]

		b.skew.Store(int64(handout.OfferAgainAfter + time.Second))
		b.await("the first hand-out is replaced by a second", func() bool {
			now := b.handOuts(id)
			return len(now) == 1 && now[0] > first
		})
		fresh, err := cons.Next()
		if err != nil {
			t.Fatalf("the second hand-out is not delivered: %v", err)
		}
		b.mustClaim(w, id)
		if err := fresh.DoubleAck(t.Context()); err != nil {
			t.Error(err)
		}
		_ = stuck.Ack() // of a message that is gone: harmless
		b.await("the queue is empty", func() bool { return len(b.handOuts(id)) == 0 })
	})
}

// TestPatienceDoubles: free workers that are dead and not yet known to be must not fill the queue with repeats.
func TestPatienceDoubles(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.worker(1, "ios")
	id := b.submit("app", "ios", 0).GetId()
	b.state(id, build.Queued)
	offers := func() int32 {
		s, err := b.store.Build(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return s.Offers
	}
	// A hand-out that is still in the outbox when the clock jumps would count as missing.
	var newest uint64
	stored := func() {
		t.Helper()
		b.await("the hand-out is in the stream", func() bool {
			now := b.handOuts(id)
			return len(now) == 1 && now[0] > newest
		})
		newest = b.handOuts(id)[0]
	}
	stored()
	after := func(d time.Duration, want int32) {
		t.Helper()
		before := offers()
		b.skew.Add(int64(d))
		b.await("offered again", func() bool { return offers() >= want })
		for range 3 {
			if err := b.queue.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := offers(); got != want {
			t.Fatalf("after %s more it was offered %d times, want %d", d, got, want)
		}
		if want > before {
			stored()
		}
	}
	after(21*time.Second, 2)
	after(21*time.Second, 2)
	after(21*time.Second, 3)
	after(50*time.Second, 3)
}

// TestBusyLaneIsLeftAlone: without a free slot a hand-out may lie for as long as it takes.
func TestBusyLaneIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	w := b.worker(1, "ios")
	b.mustClaim(w, b.submit("app", "ios", 0).GetId())
	id := b.submit("app", "ios", 0).GetId()
	b.state(id, build.Queued)
	// One that is still in the outbox when the clock jumps would count as missing.
	b.await("the hand-out is in the stream", func() bool { return len(b.handOuts(id)) == 1 })
	b.skew.Store(int64(time.Hour))
	for range 3 {
		if err := b.queue.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.store.Build(t.Context(), id)
	if err != nil || s.Offers != 1 {
		t.Errorf("a hand-out that waits for a busy worker was offered %d times (%v), want once", s.Offers, err)
	}
}

// TestDrainingWorkerIsNotCounted: its free slots are offered nothing, and builds that wait for it say that no worker is there.
func TestDrainingWorkerIsNotCounted(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.worker(2, "ios")
		sync := func(draining bool) {
			t.Helper()
			if _, err := b.Sync(t.Context(), w, &schedulerv1.SyncRequest{Draining: draining}); err != nil {
				t.Fatal(err)
			}
			got, err := b.GetWorker(t.Context(), &schedulerv1.GetWorkerRequest{WorkerId: w})
			if err != nil || got.GetWorker().GetDraining() != draining {
				t.Errorf("the worker is %v, %v, want draining %v", got.GetWorker(), err, draining)
			}
		}
		sync(true)
		id := b.submit("app", "ios", 0).GetId()
		b.eventually(id, func(v *schedulerv1.Build) bool {
			return v.GetState() == string(build.Pending) && strings.HasPrefix(v.GetWaitingFor(), "No connected worker")
		})
		sync(false)
		b.state(id, build.Queued)
	})
}
