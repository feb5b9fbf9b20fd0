package rpc

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Client sends requests for the generated clients of proto-events. It implements natsrpc.Caller.
type Client struct {
	Conn *nats.Conn
	// Timeout bounds each request, beside the deadline of its context. 0 means DefaultTimeout for contexts without one.
	Timeout time.Duration
	// WorkerID is the worker that sends; requests of workers need it.
	WorkerID string
}

// Call sends req and decodes the answer into resp, as the function Call does.
func (c Client) Call(ctx context.Context, m natsrpc.Method, req, resp proto.Message) error {
	subject := bus.RequestSubject(m.Service, m.Name)
	if m.ByWorker {
		subject = bus.WorkerRequestSubject(m.Service, m.Name, c.WorkerID)
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	return Call(ctx, c.Conn, subject, req, resp)
}
