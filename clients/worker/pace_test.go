package worker_test

import (
	"encoding/json"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/clients/worker"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

func TestAWorkerBeatsAtThePaceThatItIsTold(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.pace = &schedulerv1.Pace{BeatSeconds: 1, TtlSeconds: 77, AskSeconds: 1, SyncSeconds: 3600}
	f.start(f.fake(""), nil)
	s, err := f.js.Stream(t.Context(), bus.HeartbeatStream)
	must(t, err)
	f.eventually("a beat that says so", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for id := range f.workers {
			m, err := s.GetLastMsgForSubject(t.Context(), bus.KeySubject(bus.WorkerKey(id)))
			return err == nil && m.Header.Get("Nats-TTL") == "1m17s"
		}
		return false
	})
}

// TestAWorkerThatWasTurnedAwayIsWoken: another pull has the only place at the queue, and is gone when a build comes.
func TestAWorkerThatWasTurnedAwayIsWoken(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.pace = &schedulerv1.Pace{AskSeconds: 3600}
	lane := bus.QueueConsumer(build.DefaultPool, "android")
	must(t, f.js.DeleteConsumer(t.Context(), bus.QueueStream, lane))
	_, err := f.js.CreateConsumer(t.Context(), bus.QueueStream, jetstream.ConsumerConfig{
		Durable: lane, FilterSubject: bus.QueueSubjects(build.DefaultPool, "android"), AckPolicy: jetstream.AckExplicitPolicy, MaxWaiting: 1,
	})
	must(t, err)
	inbox := f.nc.NewInbox()
	taker, err := f.nc.SubscribeSync(inbox)
	must(t, err)
	request, err := json.Marshal(map[string]any{"batch": 1, "expires": time.Hour})
	must(t, err)
	next := "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + "." + lane
	must(t, f.nc.PublishRequest(next, inbox, request))
	f.eventually("the place is taken", func() bool {
		c, err := f.js.Consumer(t.Context(), bus.QueueStream, lane)
		return err == nil && c.CachedInfo().NumWaiting == 1
	})
	pulls, err := f.nc.SubscribeSync(next)
	must(t, err)
	must(t, f.nc.Flush())
	f.start(f.fake(""), nil)
	_, err = pulls.NextMsg(quickly)
	must(t, err)
	must(t, taker.Unsubscribe())
	must(t, f.nc.Flush())
	id := f.submit(app(t))
	f.eventually("the build is taken", func() bool {
		must(t, f.nc.Publish(bus.WakeSubject(build.DefaultPool, "android"), nil))
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.builds[id].holder != ""
	})
	f.finished(id)
}

// TestAServerThatFallsSilentIsLeft: the connection stays open and nothing comes over it any more, as when a cable is cut.
func TestAServerThatFallsSilentIsLeft(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	line := startLine(t, f.srv.Addr().String())
	f.start(f.fake(""), func(c *worker.Config) { c.BusURL = "nats://" + line.addr })
	f.finished(f.submit(app(t)))
	line.cut()
	f.finished(f.submit(app(t)))
	if n := line.taken.Load(); n < 2 {
		t.Errorf("%d connections, want another one after the line was cut", n)
	}
}

// line passes TCP connections on to a server until they are cut: then they stay open and silent. New ones pass.
type line struct {
	addr  string
	taken atomic.Int32
	mu    sync.Mutex
	dead  []chan struct{}
}

func startLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &line{addr: listener.Addr().String()}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); l.cut(); all.Wait() })
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			l.taken.Add(1)
			dead := make(chan struct{})
			l.mu.Lock()
			l.dead = append(l.dead, dead)
			l.mu.Unlock()
			t.Cleanup(func() { near.Close(); far.Close() })
			all.Go(func() { pass(far, near, dead) })
			all.Go(func() { pass(near, far, dead) })
		}
	})
	return l
}

// pass copies until either side ends, and nothing once dead is closed.
func pass(to io.Writer, from net.Conn, dead <-chan struct{}) {
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-dead:
			if err != nil {
				return
			}
			continue
		default:
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut silences the connections that there are.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, dead := range l.dead {
		close(dead)
	}
	l.dead = nil
}
