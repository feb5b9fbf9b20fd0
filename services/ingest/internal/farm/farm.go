package farm

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// timeout bounds each request to another service: long enough to sit out its restart.
const timeout = 10 * time.Second

// Config is the configuration of a Farm.
type Config struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	Log  *slog.Logger
	// StageTTLs are the heartbeat timeouts per stage that differ from the defaults.
	StageTTLs map[build.Stage]time.Duration
}

// Farm asks the other services. Create it with New. It is safe for concurrent use.
type Farm struct {
	Scheduler schedulerv1.SchedulerServiceClient
	Artifact  artifactv1.ArtifactServiceClient
	Monitor   monitorv1.MonitorServiceClient
	// Caller sends the requests of other clients.
	Caller rpc.Client

	cfg    Config
	leases *lru.Cache[string, lease]
	beats  *heartbeatThrottle
}

// New returns a farm; it starts nothing.
func New(cfg Config) (*Farm, error) {
	leases, err := lru.New[string, lease](maxRemembered)
	if err != nil {
		return nil, fmt.Errorf("remember leases: %w", err)
	}
	beats, err := newHeartbeatThrottle()
	if err != nil {
		return nil, err
	}
	c := rpc.Client{Conn: cfg.Conn, Timeout: timeout}
	return &Farm{
		Scheduler: schedulerv1.NewSchedulerServiceClient(c), Artifact: artifactv1.NewArtifactServiceClient(c),
		Monitor: monitorv1.NewMonitorServiceClient(c), Caller: c, cfg: cfg, leases: leases, beats: beats,
	}, nil
}

// SchedulerFor returns a client that asks in the name of a worker that has no connection of its
// own.
func (f *Farm) SchedulerFor(workerID string) schedulerv1.SchedulerWorkerServiceClient {
	return schedulerv1.NewSchedulerWorkerServiceClient(rpc.Client{Conn: f.cfg.Conn, Timeout: timeout, WorkerID: workerID})
}

// Publish stores a message on its stream and returns when it is acknowledged.
func (f *Farm) Publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := f.cfg.JS.PublishMsg(ctx, m, opts...)
	return err
}

// Watch forgets the lease of each build that something happens to, and calls ended for each that
// ends, until ctx ends.
func (f *Farm) Watch(ctx context.Context, ended func(buildID string)) error {
	sub, err := f.cfg.Conn.Subscribe(bus.BuildSubjectsOf("*"), func(m *nats.Msg) {
		id, event, err := bus.ParseEvent(m.Subject)
		if err != nil {
			return
		}
		f.ForgetLease(id)
		if event == bus.Completed || event == bus.Failed || event == bus.Cancelled {
			ended(id)
		}
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // the connection may be closed already
	return nil
}
