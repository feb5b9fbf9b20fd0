package farm

import (
	"context"
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

// CallTimeout bounds one request on the bus.
const CallTimeout = 5 * time.Second

// Lease names the attempt that a worker holds.
type Lease struct {
	BuildID string
	Attempt int32
}

// Conn is a connection to the bus in a worker's name.
type Conn struct {
	WorkerID  string
	Pool      string
	Platforms []string
	NATS      *nats.Conn
	JS        jetstream.JetStream
}

// Client sends requests and messages over the connection in use. Make it with NewClient. It is safe for concurrent use.
type Client struct {
	conn atomic.Pointer[Conn]
	// guard returns why nothing but Sync may be sent now.
	guard func() error
}

// NewClient returns a client without a connection. guard is called before each request but Sync and before each message, which fails
// with its error.
func NewClient(guard func() error) *Client { return &Client{guard: guard} }

// Use replaces the connection.
func (c *Client) Use(conn *Conn) { c.conn.Store(conn) }

// Conn returns the connection in use, nil before the first Use.
func (c *Client) Conn() *Conn { return c.conn.Load() }

// Connected reports whether the connection in use is up.
func (c *Client) Connected() bool {
	conn := c.Conn()
	return conn != nil && conn.NATS.IsConnected()
}

// errNotConnected: there is no connection yet.
var errNotConnected = fmt.Errorf("%w: not connected to the bus", build.ErrUnavailable)

// Scheduler returns a client of the scheduler.
func (c *Client) Scheduler() schedulerv1.SchedulerWorkerServiceClient {
	return schedulerv1.NewSchedulerWorkerServiceClient(c)
}

// Artifact returns a client of the artifact service.
func (c *Client) Artifact() artifactv1.ArtifactWorkerServiceClient {
	return artifactv1.NewArtifactWorkerServiceClient(c)
}

// Call implements natsrpc.Caller.
func (c *Client) Call(ctx context.Context, m natsrpc.Method, req, resp proto.Message) error {
	conn := c.Conn()
	if conn == nil {
		return errNotConnected
	}
	if m.Name != "sync" {
		if err := c.guard(); err != nil {
			return err
		}
	}
	return rpc.Client{Conn: conn.NATS, Timeout: CallTimeout, WorkerID: conn.WorkerID}.Call(ctx, m, req, resp)
}

// Publish stores a message on a stream and returns when it is acknowledged.
func (c *Client) Publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) error {
	conn := c.Conn()
	if conn == nil {
		return errNotConnected
	}
	if err := c.guard(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	if _, err := conn.JS.PublishMsg(ctx, m, opts...); err != nil {
		return fmt.Errorf("publish %s: %w", m.Subject, err)
	}
	return nil
}
