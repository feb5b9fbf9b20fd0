package monitor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestEventsInAnyOrder: an end that is heard before its beginning, and a stage before the one it follows, leave what is true.
func TestEventsInAnyOrder(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		st, err := store.New(t.Context(), open(t))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		watch := func(id string, attempt int32, stage build.Stage, seq uint64) {
			t.Helper()
			if err := st.Leases.Watch(t.Context(), store.Lease{
				BuildID: id, Attempt: attempt, WorkerID: holder, Stage: string(stage), TTL: ttl, Since: now, LookAt: now, Seq: seq,
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Leases.Forget(t.Context(), "over", 2, now); err != nil {
			t.Fatal(err)
		}
		watch("over", 1, build.StagePrepare, 1)
		watch("over", 2, build.StageInstall, 2)
		watch("again", 1, build.StagePrepare, 3)
		watch("again", 2, build.StagePrepare, 6)
		watch("again", 1, build.StageInstall, 4)
		watch("stages", 1, build.StageCompile, 9)
		watch("stages", 1, build.StageInstall, 8)
		leases, err := st.Leases.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, l := range leases {
			got[l.BuildID] = fmt.Sprint(l.Attempt, " ", l.Stage)
		}
		want := map[string]string{"again": "2 prepare", "stages": "1 compile"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("leases = %v, want %v", got, want)
		}
		if err := st.Leases.ForgetEnded(t.Context(), now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		watch("over", 3, build.StagePrepare, 10)
	})
}

// BenchmarkEvents is how many events of builds a monitor takes in a second, from the first assignment to the last end.
func BenchmarkEvents(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": databasetest.SQLite, "postgres": databasetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			srv := bustest.Start(b)
			m, err := New(b.Context(), testConfig(), Deps{DB: databasetest.Open(b, url(b)), Conn: srv.Connect("monitor"), Log: quietly})
			if err != nil {
				b.Fatal(err)
			}
			js := srv.JetStream(srv.Connect("publisher"))
			const builds = 500
			var msgs []bus.Message
			for i := range builds {
				id := fmt.Sprint("b", i)
				msgs = append(msgs, eventsOfBuild(b, id)...)
			}
			if _, err := bus.PublishAll(b.Context(), js, msgs); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				_ = js.DeleteConsumer(b.Context(), bus.EventsStream, "monitor") // the first time there is none
				b.StartTimer()
				m.takeAll(b, js)
			}
			b.ReportMetric(float64(len(msgs)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// eventsOfBuild are an assignment, two stages and the end.
func eventsOfBuild(tb testing.TB, id string) (all []bus.Message) {
	tb.Helper()
	for _, e := range []struct {
		event bus.Event
		fact  proto.Message
	}{
		{bus.Assigned, &eventsv1.BuildAssigned{BuildId: id, Attempt: 1, WorkerId: holder}},
		{bus.Stage, &eventsv1.BuildStageChanged{BuildId: id, Attempt: 1, WorkerId: holder, Stage: string(build.StageInstall)}},
		{bus.Stage, &eventsv1.BuildStageChanged{BuildId: id, Attempt: 1, WorkerId: holder, Stage: string(build.StageCompile)}},
		{bus.Completed, &eventsv1.BuildCompleted{BuildId: id, Attempt: 1, WorkerId: holder}},
	} {
		m, err := bus.NewMessage(tb.Context(), "scheduler", bus.BuildSubject(id, e.event), time.Now(), e.fact)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// takeAll hears every event that the stream holds.
func (m *Monitor) takeAll(tb testing.TB, js jetstream.JetStream) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.watcher.ConsumeEvents(ctx) }()
	defer func() { cancel(); <-done }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		c, err := js.Consumer(ctx, bus.EventsStream, "monitor")
		if err != nil {
			continue
		}
		if i := c.CachedInfo(); i.NumPending == 0 && i.NumAckPending == 0 {
			return
		}
	}
	tb.Fatal("events are left")
}
