package worker_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/clients/worker"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// sleeper has the clocks of a machine that sleeps when a test says so.
type sleeper struct {
	mu     sync.Mutex
	begin  time.Time
	asleep time.Duration
}

func (s *sleeper) read() pause.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	ran := time.Since(s.begin)
	return pause.Reading{Monotonic: ran, Boot: ran + s.asleep, Wall: s.begin.Round(0).Add(ran + s.asleep)}
}

func (s *sleeper) sleep(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asleep += d
}

// TestASleepingLaptopAsksFirst: whose builds were given away while the machine slept is told at the first word, and nothing is
// said of them before.
func TestASleepingLaptopAsksFirst(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	clocks := &sleeper{begin: time.Now()}
	var slept atomic.Bool
	var beats atomic.Int32
	var lost atomic.Pointer[string]
	asked := make(chan int32, 1)
	f.onSync = func(r *schedulerv1.SyncRequest) []*schedulerv1.Lease {
		if !slept.Load() || len(r.GetHolding()) == 0 {
			return nil
		}
		select {
		case asked <- beats.Load():
		default:
		}
		return r.GetHolding()
	}
	exporting := make(chan struct{}, 1)
	_, err := f.nc.Subscribe(bus.KeySubject("build.>"), func(m *nats.Msg) {
		var h eventsv1.Heartbeat
		switch {
		case slept.Load():
			if strings.Contains(m.Subject, *lost.Load()) {
				beats.Add(1)
			}
		case proto.Unmarshal(m.Data, &h) == nil && h.GetStage() == "export":
			select {
			case exporting <- struct{}{}:
			default:
			}
		}
	})
	must(t, err)
	a := f.startWith(f.fake("hang"), nil, func(d *worker.Deps) { d.Pauses = pause.NewWithClocks(clocks.read) })
	id := f.submit(app(t))
	lost.Store(&id)
	f.inStage(id, "export")
	<-exporting // the next one comes 15 s later
	clocks.sleep(time.Hour)
	slept.Store(true)
	select {
	case n := <-asked:
		if n != 0 {
			t.Errorf("%d heartbeats before the question, want none", n)
		}
	case <-time.After(5 * time.Second): // a sync of its own comes after half a minute
		t.Fatal("the worker did not ask after it slept")
	}
	other := f.submit(app(t))
	f.inStage(other, "export")
	if n := beats.Load(); n > 0 {
		t.Errorf("%d heartbeats, want none of the build that was lost", n)
	}
	a.Release()
}
