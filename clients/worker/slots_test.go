package worker_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/clients/worker"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// queue is the state of a platform's consumer.
func (f *farm) queue(p build.Platform) *jetstream.ConsumerInfo {
	f.t.Helper()
	cons, err := f.js.Consumer(f.t.Context(), bus.QueueStream, bus.QueueConsumer(build.DefaultPool, string(p)))
	must(f.t, err)
	return cons.CachedInfo()
}

// pulls counts the pulls that wait at the queues of all platforms.
func (f *farm) pulls() (n int) {
	for _, p := range build.Platforms() {
		n += f.queue(p).NumWaiting
	}
	return n
}

// TestFullWorkerDoesNotPull: a worker pulls on each platform while a slot is free and on none while it is full, so it gets no hand-out
// that it would have to refuse.
func TestFullWorkerDoesNotPull(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.fake("hang,stage=install"), func(c *worker.Config) { c.Slots = 1 })
	f.eventually("a pull waits on each platform", func() bool { return f.pulls() == len(build.Platforms()) })
	id := f.submit(app(t))
	f.inStage(id, "install")
	f.eventually("no pull waits", func() bool { return f.pulls() == 0 })

	var delivered []uint64
	count := func() (all []uint64) {
		for _, p := range build.Platforms() {
			all = append(all, f.queue(p).Delivered.Consumer)
		}
		return all
	}
	delivered = count()
	next := f.submit(app(t))
	f.eventually("the next hand-out lies in the queue", func() bool { return f.queued() == 1 })
	if now := count(); !slices.Equal(now, delivered) {
		t.Errorf("deliveries while the worker is full = %v, were %v: want none", now, delivered)
	}
	f.control(f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder, cancelOrder(id))
	f.inStage(next, "install")
}

// TestDrainingWorkerSaysSo: its free slots are not to be counted while it finishes what runs.
func TestDrainingWorkerSaysSo(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	said := make(chan bool, 100)
	f.onSync = func(r *schedulerv1.SyncRequest) []*schedulerv1.Lease {
		said <- r.GetDraining()
		return nil
	}
	a := f.start(f.fake("hang,stage=install"), nil)
	f.inStage(f.submit(app(t)), "install")
	a.Drain()
	f.eventually("it says that it drains", func() bool {
		select {
		case draining := <-said:
			return draining
		default:
			return false
		}
	})
	a.Release()
	must(t, <-a.ended)
}
