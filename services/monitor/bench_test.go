package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// sample is one as a worker sends it.
func sample(tb testing.TB, build int) *nats.Msg {
	tb.Helper()
	id := fmt.Sprint("build", build)
	data, err := proto.Marshal(&eventsv1.Telemetry{
		BuildId: id, Attempt: 1, WorkerId: "mac1", AtMs: time.Now().UnixMilli(), Stage: "compile", CpuPercent: proto.Float64(250),
		MemoryMb: proto.Float64(1024), DiskPercent: proto.Float64(50), Processes: proto.Int64(20), UptimeSeconds: 100, TtlSeconds: 300,
	})
	if err != nil {
		tb.Fatal(err)
	}
	m := nats.NewMsg(bus.TelemetrySubject("mac1", id))
	m.Data = data
	return m
}

// publish waits while the window is full, on a machine that is busy with other things for longer than JetStream's client likes.
func publish(tb testing.TB, js jetstream.JetStream, m *nats.Msg) {
	tb.Helper()
	for {
		_, err := js.PublishMsgAsync(m)
		if err == nil {
			return
		}
		if !errors.Is(err, jetstream.ErrTooManyStalledMsgs) {
			tb.Fatal(err)
		}
	}
}

// benchBuilds run at once.
const benchBuilds = 1000

// BenchmarkPublishTelemetry is samples a second into the stream: straight by JetStream's asynchronous publish, and by what our
// services use, which bounds and counts. Until the last is acknowledged.
func BenchmarkPublishTelemetry(b *testing.B) {
	srv := bustest.Start(b)
	msgs := make([]*nats.Msg, benchBuilds)
	for i := range msgs {
		msgs[i] = sample(b, i)
	}
	b.Run("raw", func(b *testing.B) {
		js, err := jetstream.New(srv.Connect("raw"), jetstream.WithPublishAsyncMaxPending(4096))
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; b.Loop(); i++ {
			publish(b, js, msgs[i%len(msgs)])
		}
		<-js.PublishAsyncComplete()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	})
	b.Run("bounded", func(b *testing.B) {
		a, err := bus.NewAsync(srv.Connect("async"), 20_000, "samples", slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		for i := 0; b.Loop(); i++ {
			for !a.Offer(msgs[i%len(msgs)]) { // a full queue: a real sender would leave it out
				<-time.After(time.Millisecond)
			}
		}
		cancel()
		if err := <-done; err != nil || a.Failed() > 0 {
			b.Errorf("Run = %v, %d failed", err, a.Failed())
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	})
}

// BenchmarkStoreTelemetry is samples a second from the stream into SQL, with 1,000 builds under watch.
func BenchmarkStoreTelemetry(b *testing.B) {
	for name, dsn := range map[string]func(testing.TB) string{"sqlite": databasetest.SQLite, "postgres": databasetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			srv := bustest.Start(b)
			m, err := New(b.Context(), DefaultConfig(), Deps{DB: databasetest.Open(b, dsn(b)), Conn: srv.Connect("monitor"), Log: quietly})
			if err != nil {
				b.Fatal(err)
			}
			js, err := jetstream.New(srv.Connect("load"), jetstream.WithPublishAsyncMaxPending(4096))
			if err != nil {
				b.Fatal(err)
			}
			for i := range benchBuilds {
				if err := m.store.Leases.Watch(b.Context(), storeLease(i)); err != nil {
					b.Fatal(err)
				}
			}
			for i := range b.N {
				publish(b, js, sample(b, i%benchBuilds))
			}
			<-js.PublishAsyncComplete()
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			b.ResetTimer()
			go func() { done <- m.telemetry.Run(ctx) }()
			for {
				u, err := m.requests.Usage(b.Context(), &monitorv1.UsageRequest{})
				if err != nil {
					b.Fatal(err)
				}
				if u.GetSamples() >= int64(b.N) {
					break
				}
				<-time.After(5 * time.Millisecond)
			}
			b.StopTimer()
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

func storeLease(i int) store.Lease {
	return store.Lease{BuildID: fmt.Sprint("build", i), Attempt: 1, WorkerID: "mac1", Stage: "compile", TTL: long}
}
