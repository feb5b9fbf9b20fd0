// Package natsrpc has what the generated clients and servers of proto-events share. It knows no transport: shared/rpc sends and
// answers the requests over NATS.
package natsrpc

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// Method names a request: fa.<Service>.<Name>, followed by the id of the worker that sends it if ByWorker is set.
type Method struct {
	Service, Name string
	ByWorker      bool
}

// Caller sends a request and decodes its answer into resp. Errors match the sentinels of shared/build.
type Caller interface {
	Call(ctx context.Context, m Method, req, resp proto.Message) error
}

// Handler answers a request. decode unpacks it and fails with build.ErrInvalid. workerID is the sender of a request of a worker,
// for which NATS permissions vouch; it is empty in all other requests.
type Handler func(ctx context.Context, workerID string, decode func(proto.Message) error) (proto.Message, error)

// Registrar adds handlers to a service.
type Registrar interface {
	Handle(m Method, h Handler) error
}
