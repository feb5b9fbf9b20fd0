package monitor

import (
	"context"
	"slices"
	"testing"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/watch"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// pass lets real time go by: the length of an outage is what is tested.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// TestBusOutageKillsNobody: the bus is away for longer than the TTL and forgets every key; who lives is found alive, who
// died meanwhile is found dead.
func TestBusOutageKillsNobody(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.healthy("alive", 1)
	b.assign("alive", 1)
	b.assign("dead", 1)
	b.stage("dead", 1, build.StageInstall)
	b.watched("dead", func(l *store.Lease) bool { return l.TTL == ttl })
	b.srv.Stop()
	pass(t, ttl+time.Second)
	b.srv.Restart()
	// The bucket was in memory. The scheduler takes longer than a TTL to create it again.
	pass(t, ttl+time.Second)
	b.eventually("topology", func() bool { return bus.Ensure(t.Context(), b.js, bus.NewTopology(1)) == nil })
	back := time.Now()
	b.eventually("verdict on the dead", func() bool { return b.count(bus.BuildSubject("dead", bus.Stalled)) == 1 })
	if held := time.Since(back); held < ttl-watch.ProbeEvery {
		t.Errorf("verdict %s after the heartbeats were back, want it held for a TTL of %s", held, ttl)
	}
	b.lifetimes(2)
	b.silent("alive")
}

// TestStartHoldsVerdicts: a monitor that was away cannot know what it missed.
func TestStartHoldsVerdicts(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, srv := open(t), bustest.Start(t)
		b := setupWith(t, db, srv, testConfig())
		b.assign("b1", 1)
		b.stop()
		// Overdue since long before the next start.
		err := b.store.Leases.Suspect(t.Context(), "b1", 1, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		sub := srv.Connect("listener")
		heard, err := sub.SubscribeSync(bus.BuildSubject("b1", bus.Stalled))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		b = setupWith(t, db, srv, testConfig())
		b.stalled(heard)
		if held := time.Since(began); held < short {
			t.Errorf("verdict %s after the start, want it held for a TTL of %s", held, short)
		}
	})
}

// TestStartsBeforeTheStreams: services start in any order.
func TestStartsBeforeTheStreams(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	js := srv.JetStream(srv.Connect("wipe"))
	for _, stream := range []string{bus.EventsStream, bus.HeartbeatStream} {
		if err := js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	b := setupWith(t, sqlite(t), srv, testConfig())
	if err := b.Ready(t.Context()); err == nil {
		t.Error("Ready = nil without streams")
	}
	if err := bus.Ensure(t.Context(), js, bus.NewTopology(1)); err != nil {
		t.Fatal(err)
	}
	b.lifetimes(1)
	if err := b.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v", err)
	}
}

// TestTwoMonitorsDecideOnce: replicas share the events, and the first one that looks decides.
func TestTwoMonitorsDecideOnce(t *testing.T) {
	t.Parallel()
	url, srv := databasetest.Postgres(t), bustest.Start(t)
	b := setupWith(t, databasetest.Open(t, url), srv, testConfig())
	setupWith(t, databasetest.Open(t, url), srv, testConfig())
	b.healthy("healthy", 1)
	b.assign("healthy", 1)
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = build.NewID()
		b.assigned(ids[i], 1)
		b.beatLease(ids[i], 1, short)
	}
	for _, id := range ids {
		b.eventually("verdict on "+id, func() bool { return b.count(bus.BuildSubject(id, bus.Stalled)) > 0 })
	}
	b.lifetimes(1)
	for _, id := range ids {
		if n := b.count(bus.BuildSubject(id, bus.Stalled)); n != 1 {
			t.Errorf("%s stalled %d times, want once", id, n)
		}
	}
	b.silent("healthy")
}

func TestWorkerLeavesAndReturns(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		sub := b.listen(bus.WorkerSubject(holder, bus.Offline))
		for range 2 {
			b.tell(bus.WorkerSubject(holder, bus.Online), &eventsv1.WorkerOnline{WorkerId: holder})
			stop := b.keepBeating(bus.WorkerKey(holder), &eventsv1.Heartbeat{WorkerId: holder, TtlSeconds: int32(ttl / time.Second)}, ttl/5)
			before := b.count(bus.WorkerSubject(holder, bus.Offline))
			b.lifetimes(2)
			if n := b.count(bus.WorkerSubject(holder, bus.Offline)); n != before {
				t.Errorf("a worker that beats went offline %d times", n-before)
			}
			stop()
			if e := hear[eventsv1.WorkerOffline](t, sub); e.GetWorkerId() != holder || e.GetAtMs() == 0 {
				t.Errorf("offline = %v", e)
			}
		}
		b.lifetimes(1)
		if n := b.count(bus.WorkerSubject(holder, bus.Offline)); n != 2 {
			t.Errorf("offline %d times, want 2", n)
		}
	})
}

// TestWorkerThatNeverBeatsLeaves: it came online and died at once.
func TestWorkerThatNeverBeatsLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	sub := b.listen(bus.WorkerSubject(holder, bus.Offline))
	b.tell(bus.WorkerSubject(holder, bus.Online), &eventsv1.WorkerOnline{WorkerId: holder})
	hear[eventsv1.WorkerOffline](t, sub)
}

// TestWorkerLeavesWhileTheBusIsAway: a bus that forgets its keys leaves no markers, so all workers are looked at after it.
func TestWorkerLeavesWhileTheBusIsAway(t *testing.T) {
	t.Parallel()
	const longer = 2 * ttl // without that look it would take watch.WorkerTTLs of these, which is longer than hear waits
	cfg := testConfig()
	cfg.WorkerTTL = longer
	b := setupWith(t, sqlite(t), bustest.Start(t), cfg)
	sub := b.listen(bus.WorkerSubject(holder, bus.Offline))
	b.tell(bus.WorkerSubject(holder, bus.Online), &eventsv1.WorkerOnline{WorkerId: holder})
	stop := b.keepBeating(bus.WorkerKey(holder), &eventsv1.Heartbeat{WorkerId: holder, TtlSeconds: int32(longer / time.Second)}, ttl/5)
	b.eventually("the worker has been looked at", func() bool {
		due, err := b.store.Workers.Due(t.Context(), time.Now().Add(watch.WorkerTTLs*longer+time.Minute), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return len(due) == 1 && time.Until(due[0].LookAt) > (watch.WorkerTTLs-1)*longer
	})
	stop()
	b.srv.Restart()
	b.eventually("topology", func() bool { return bus.Ensure(t.Context(), b.js, bus.NewTopology(1)) == nil })
	hear[eventsv1.WorkerOffline](t, sub)
}

// TestAWorkerThatSpeaksSeldomIsWaitedFor: in a large farm each beats seldom. Though the bus forgot the keys and the monitor is another
// one since, silence is no verdict before the time that the worker's last beat asked for.
func TestAWorkerThatSpeaksSeldomIsWaitedFor(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		const seldom = 4 * ttl
		cfg, db, srv := testConfig(), open(t), bustest.Start(t)
		cfg.WorkerTTL = short
		b := setupWith(t, db, srv, cfg)
		b.tell(bus.WorkerSubject(holder, bus.Online), &eventsv1.WorkerOnline{WorkerId: holder})
		beat := func() time.Time {
			return b.beat(bus.WorkerKey(holder), seldom, &eventsv1.Heartbeat{WorkerId: holder, TtlSeconds: int32(seldom / time.Second)})
		}
		beat()
		b.eventually("its pace is known", func() bool {
			all, err := b.store.Workers.Due(t.Context(), time.Now().Add(long), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			return len(all) == 1 && all[0].TTL == seldom
		})
		b.stop()
		b.srv.Restart()
		b.eventually("topology", func() bool { return bus.Ensure(t.Context(), b.js, bus.NewTopology(1)) == nil })
		b = setupWith(t, db, srv, cfg)
		sub := b.listen(bus.WorkerSubject(holder, bus.Offline))
		b.lifetimes(2)
		if n := b.count(bus.WorkerSubject(holder, bus.Offline)); n != 0 {
			t.Fatal("a worker went offline that had time to speak")
		}
		last := beat()
		hear[eventsv1.WorkerOffline](t, sub)
		if waited := time.Since(last); waited < seldom {
			t.Errorf("offline %s after a beat that asked for %s", waited, seldom)
		}
	})
}

// serveLeases answers fa.scheduler.list as the scheduler does, a build a page.
func serveLeases(t *testing.T, srv *bustest.Server, builds ...*schedulerv1.Build) {
	t.Helper()
	svc, err := rpc.NewService(srv.Connect("scheduler"), "scheduler", "1.0.0", quietly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = svc.Stop(ctx)
	})
	err = rpc.Handle(svc, "list", func(_ context.Context, r *schedulerv1.ListRequest) (*schedulerv1.ListResponse, error) {
		resp := &schedulerv1.ListResponse{}
		at := len(builds) - 1
		if r.GetBeforeSeq() > 0 {
			at = int(r.GetBeforeSeq()) - 1
		}
		if b := builds[at]; slices.Contains(r.GetStates(), b.GetState()) {
			resp.Builds = append(resp.Builds, b)
		}
		resp.NextBeforeSeq = int64(at)
		return resp, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReconcileFindsWhatNoEventTold: the scheduler's leases are watched, whatever became of the events; an older attempt
// that is still watched gives way.
func TestReconcileFindsWhatNoEventTold(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		srv := bustest.Start(t)
		serveLeases(t, srv,
			&schedulerv1.Build{Id: "b1", Attempt: 1, WorkerId: holder, State: string(build.Assigned)},
			&schedulerv1.Build{Id: "b2", Attempt: 3, WorkerId: holder, State: string(build.Building), Stage: string(build.StageCompile)},
			&schedulerv1.Build{Id: "b3", Attempt: 1, State: string(build.Pending)},
		)
		cfg := testConfig()
		cfg.ReconcileEvery = 200 * time.Millisecond
		b := setupWith(t, open(t), srv, cfg)
		sub := b.listen(bus.BuildSubject("b1", bus.Stalled))
		b.assigned("b2", 2)
		b.watched("b1", func(l *store.Lease) bool { return l != nil && l.Attempt == 1 && l.Stage == string(build.StagePrepare) })
		b.watched("b2", func(l *store.Lease) bool { return l != nil && l.Attempt == 3 && l.TTL == long })
		b.watched("b3", func(l *store.Lease) bool { return l == nil })
		b.stalled(sub)
	})
}
