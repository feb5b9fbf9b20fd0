package scheduler

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// TestAReportAfterTheServerWasDownCounts: a build ended in time, and its worker could not say so until after the timeout.
func TestAReportAfterTheServerWasDownCounts(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, srv := open(t), bustest.Start(t)
		b := setupWith(t, db, srv, testConfig())
		b.skew.Store(int64(-3 * time.Hour)) // more than the timeout
		w := b.worker(1)
		v := b.submit("app", "ios", 0)
		b.mustClaim(w, v.GetId())
		b.stop()
		b = setupWith(t, db, srv, testConfig())
		other := b.submit("app", "ios", 0)
		b.state(other.GetId(), build.Queued) // it works, and its first round over overdue builds has been
		_, err := b.Finish(t.Context(), w, &schedulerv1.FinishRequest{
			WorkerId: w, BuildId: v.GetId(), Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_FAILED, Error: "Stage compile failed",
		})
		if err != nil {
			t.Errorf("Finish = %v, want the worker's own word taken", err)
		}
		if got := b.state(v.GetId(), build.Failed); got.GetError() != "Stage compile failed" {
			t.Errorf("error = %q, want the worker's", got.GetError())
		}
	})
}

// TestNobodyIsOverdueAfterAPause: the loop waits for the grace whenever workers could not report.
func TestNobodyIsOverdueAfterAPause(t *testing.T) {
	t.Parallel()
	srv := bustest.Start(t)
	var reading pause.Reading
	var skew time.Duration
	s := &Scheduler{
		cfg: testConfig(), nc: srv.Connect("scheduler"), now: func() time.Time { return time.Now().Add(skew) },
		pauses: pause.NewWithClocks(func() pause.Reading { return reading }),
	}
	o := &overdue{Scheduler: s, since: s.now().Add(-time.Hour)}
	judges := func(what string, want bool) {
		t.Helper()
		if got := o.couldReport(); got != want {
			t.Errorf("%s: it judges = %v, want %v", what, got, want)
		}
	}
	judges("an hour after the start", true)
	reading.Monotonic, reading.Boot, reading.Wall = time.Minute, time.Minute, reading.Wall.Add(time.Minute)
	judges("after a pause", false)
	skew += overdueGrace + time.Second
	judges("one grace later", true)
	back := make(chan struct{}, 1)
	s.nc.SetReconnectHandler(func(*nats.Conn) { back <- struct{}{} })
	srv.Restart()
	<-back
	judges("after the bus was away", false)
	skew += overdueGrace + time.Second
	judges("one grace after the bus is back", true)
}
