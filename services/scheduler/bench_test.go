package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// BenchmarkDrain is what the schedulers can hand out: b.N builds wait, fifty workers pull, claim, enter a stage and finish, each over
// the bus and with nothing to build. Two schedulers on PostgreSQL, one on SQLite.
func BenchmarkDrain(b *testing.B) {
	b.Run("postgres", func(b *testing.B) { benchDrain(b, databasetest.Open(b, databasetest.Postgres(b)), 2) })
	b.Run("sqlite", func(b *testing.B) { benchDrain(b, databasetest.Open(b, databasetest.SQLite(b)), 1) })
}

func benchDrain(b *testing.B, db *database.DB, replicas int) {
	srv := bustest.Start(b)
	serveResults(b, srv)
	cfg := DefaultConfig()
	cfg.MaxWaiting = 1 << 30
	var s *Scheduler
	for range replicas {
		s = benchScheduler(b, cfg, Deps{DB: db, Conn: srv.Connect("scheduler"), Log: slog.New(slog.DiscardHandler)})
	}
	submitMany(b, s, b.N)
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	d := drainer{nc: srv.Connect("workers"), left: make(chan struct{}, b.N)}
	for range b.N {
		d.left <- struct{}{}
	}
	var workers sync.WaitGroup
	b.ResetTimer()
	for range 50 {
		id := build.NewID()
		_, err := s.registry.RegisterWorker(ctx, &schedulerv1.RegisterWorkerRequest{WorkerId: id, Name: id, Slots: 1})
		if err != nil {
			b.Fatal(err)
		}
		workers.Go(func() {
			if err := d.work(ctx, id); err != nil {
				b.Error(err)
				stop()
			}
		})
	}
	workers.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "builds/s")
}

func benchScheduler(b *testing.B, cfg Config, d Deps) *Scheduler {
	b.Helper()
	s, err := New(b.Context(), cfg, d)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("Run = %v", err)
		}
	})
	return s
}

// serveResults says of each object that it is the result that its id names: <build>.<attempt>.
func serveResults(b *testing.B, srv *bustest.Server) {
	b.Helper()
	svc, err := rpc.NewService(srv.Connect("artifact"), "artifact", "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	err = errors.Join(
		rpc.Handle(svc, "stat", func(_ context.Context, r *artifactv1.StatRequest) (*artifactv1.StatResponse, error) {
			return &artifactv1.StatResponse{
				Object:  &eventsv1.ObjectRef{ObjectId: r.GetObjectId(), Size: 3, Sha256: "abc", Name: "app.tar.gz"},
				BuildId: r.GetObjectId(), Attempt: 1, Kind: artifactv1.Kind_KIND_RESULT,
			}, nil
		}),
		rpc.Handle(svc, "keep", func(context.Context, *artifactv1.KeepRequest) (*artifactv1.KeepResponse, error) {
			return &artifactv1.KeepResponse{}, nil
		}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = svc.Stop(context.Background()) })
}

func submitMany(b *testing.B, s *Scheduler, n int) {
	b.Helper()
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	close(left)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range left {
				_, err := s.Submit(b.Context(), &schedulerv1.SubmitRequest{
					BuildId: build.NewID(), Project: "p", Platform: "ios", Source: &eventsv1.ObjectRef{ObjectId: build.NewID(), Size: 1, Sha256: "00"},
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// drainer is workers over one connection. left holds a token for each build that nobody has taken.
type drainer struct {
	nc   *nats.Conn
	left chan struct{}
}

// work takes builds until none is left.
func (d *drainer) work(ctx context.Context, id string) error {
	if err := d.call(ctx, "sync", id, &schedulerv1.SyncRequest{WorkerId: id, Fresh: true}); err != nil {
		return err
	}
	inbox := d.nc.NewInbox()
	sub, err := d.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	for {
		select {
		case <-d.left:
		default:
			return nil
		}
		if err := d.one(ctx, id, inbox, sub); err != nil {
			return err
		}
	}
}

func (d *drainer) one(ctx context.Context, id, inbox string, sub *nats.Subscription) error {
	const next = "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + ".default-ios"
	if err := d.nc.PublishRequest(next, inbox, []byte(`{"batch":1,"expires":300000000000}`)); err != nil {
		return err
	}
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return err
	}
	var h schedulerv1.HandOut
	if err := proto.Unmarshal(m.Data, &h); err != nil {
		return err
	}
	b := h.GetBuildId()
	if err := d.call(ctx, "claim", id, &schedulerv1.ClaimRequest{WorkerId: id, BuildId: b, Attempt: 1}); err != nil {
		return err
	}
	if err := m.Ack(); err != nil {
		return err
	}
	if err := d.call(ctx, "stage", id, &schedulerv1.StageRequest{WorkerId: id, BuildId: b, Attempt: 1, Stage: "compile"}); err != nil {
		return err
	}
	return d.call(ctx, "finish", id, &schedulerv1.FinishRequest{
		WorkerId: id, BuildId: b, Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_COMPLETED, ResultObjectId: b,
	})
}

func (d *drainer) call(ctx context.Context, verb, id string, r proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var resp proto.Message
	switch verb {
	case "sync":
		resp = &schedulerv1.SyncResponse{}
	case "claim":
		resp = &schedulerv1.ClaimResponse{}
	case "stage":
		resp = &schedulerv1.StageResponse{}
	default:
		resp = &schedulerv1.FinishResponse{}
	}
	return rpc.Call(ctx, d.nc, bus.WorkerRequestSubject("scheduler", verb, id), r, resp)
}
