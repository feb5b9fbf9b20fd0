package bus_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// TestDeletingBySequenceForgetsNothing is why hand-outs are deleted by sequence and never purged by subject: while pullers refuse half
// of what they get, and others delete what was handled a moment ago, every message is still delivered. With purges by subject
// nats-server 2.15.2 strands some of those that wait for redelivery (docs/upstream/nats-purge.md).
func TestDeletingBySequenceForgetsNothing(t *testing.T) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		q := newRefusals(t, bustest.Start(t).Connect("test"), 1)
		q.run(1500)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		q := newRefusals(t, bustest.Cluster(t), 3)
		q.run(400)
	})
}

// refusals is a work queue whose pullers refuse half of what they get.
type refusals struct {
	t      *testing.T
	js     jetstream.JetStream
	stream jetstream.Stream
	cons   jetstream.Consumer
	// handled are the subjects that a puller took on.
	handled sync.Map
	count   atomic.Int64
}

func newRefusals(t *testing.T, nc *nats.Conn, replicas int) *refusals {
	t.Helper()
	js, err := bus.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	q := &refusals{t: t, js: js}
	eventually(t, "the queue is made", func() bool {
		if err = bus.Ensure(t.Context(), js, bus.NewTopology(replicas)); err == nil {
			err = bus.EnsureQueueConsumer(t.Context(), js, "default", "ios")
		}
		return err == nil
	})
	if q.stream, err = js.Stream(t.Context(), bus.QueueStream); err == nil {
		q.cons, err = js.Consumer(t.Context(), bus.QueueStream, bus.QueueConsumer("default", "ios"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (q *refusals) run(n int64) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() { q.pull(stop, i) })
	}
	all.Go(func() { q.sweep(stop) })
	for i := range n {
		if _, err := q.js.Publish(q.t.Context(), bus.QueueSubject("default", "ios", fmt.Sprint("b", i), 1), []byte("x")); err != nil {
			q.t.Fatal(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for q.count.Load() < n && time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
	}
	close(stop)
	all.Wait()
	if got := q.count.Load(); got != n {
		q.t.Errorf("%d of %d messages were delivered to somebody who took them on", got, n)
	}
}

// pull refuses every other message, and acknowledges the rest a moment after it took them on.
func (q *refusals) pull(stop chan struct{}, i int) {
	for turn := i; ; turn++ {
		select {
		case <-stop:
			return
		default:
		}
		batch, err := q.cons.Fetch(1, jetstream.FetchMaxWait(200*time.Millisecond))
		if err != nil {
			continue
		}
		for m := range batch.Messages() {
			if turn%2 == 0 {
				_ = m.Nak()
				continue
			}
			if _, again := q.handled.LoadOrStore(m.Subject(), true); !again {
				q.count.Add(1)
			}
			if turn%3 == 0 { // so that a deletion may come before the acknowledgement
				<-time.After(time.Duration(turn%20) * time.Millisecond)
			}
			_ = m.Ack()
		}
	}
}

// sweep deletes what was handled and is not acknowledged yet.
func (q *refusals) sweep(stop chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		info, err := q.stream.Info(q.t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			continue
		}
		for subject := range info.State.Subjects {
			if _, done := q.handled.Load(subject); !done {
				continue
			}
			if m, err := q.stream.GetLastMsgForSubject(q.t.Context(), subject); err == nil {
				_ = q.stream.DeleteMsg(q.t.Context(), m.Sequence)
			}
		}
	}
}
