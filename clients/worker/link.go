package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// callWait bounds one request on the bus.
const callWait = 5 * time.Second

// conn is a connection to the bus in a worker's name.
type conn struct {
	id        string
	pool      string
	platforms []string
	nc        *nats.Conn
	js        jetstream.JetStream
}

// link is the connection that is in use now; it changes when the worker joins anew. It is safe for concurrent use.
type link struct{ cur atomic.Pointer[conn] }

func (l *link) set(c *conn) { l.cur.Store(c) }

// get is nil before the first connection.
func (l *link) get() *conn { return l.cur.Load() }

// errNoBus: there is no connection yet.
var errNoBus = fmt.Errorf("%w: not connected to the bus", build.ErrUnavailable)

// scheduler sends requests to the scheduler.
func (w *Worker) scheduler() schedulerv1.SchedulerWorkerServiceClient {
	return schedulerv1.NewSchedulerWorkerServiceClient(caller{w})
}

// artifact sends requests to the artifact service.
func (w *Worker) artifact() artifactv1.ArtifactWorkerServiceClient {
	return artifactv1.NewArtifactWorkerServiceClient(caller{w})
}

// caller sends requests over the connection in use. After a pause only Sync is sent until it has told which builds are still ours.
type caller struct{ w *Worker }

// Call implements natsrpc.Caller.
func (c caller) Call(ctx context.Context, m natsrpc.Method, req, resp proto.Message) error {
	conn := c.w.link.get()
	if conn == nil {
		return errNoBus
	}
	if m.Name != "sync" {
		if err := c.w.confirmed(); err != nil {
			return err
		}
	}
	return rpc.Client{Conn: conn.nc, Timeout: callWait, WorkerID: conn.id}.Call(ctx, m, req, resp)
}

// publish stores a message on a stream and returns when it is acknowledged.
func (w *Worker) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) error {
	c := w.link.get()
	if c == nil {
		return errNoBus
	}
	if err := w.confirmed(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	if _, err := c.js.PublishMsg(ctx, m, opts...); err != nil {
		return fmt.Errorf("publish %s: %w", m.Subject, err)
	}
	return nil
}

// gone says that the attempt is not ours any more, or never was.
func gone(err error) bool {
	for _, e := range []error{build.ErrLeaseLost, build.ErrFinished, build.ErrNotFound, build.ErrTaken, build.ErrNotQueued} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
