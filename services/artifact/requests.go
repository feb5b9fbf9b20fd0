package artifact

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// serveRequests answers every subject that the service hears.
func (s *Service) serveRequests() (*rpc.Service, error) {
	r, err := rpc.NewService(s.conn, "artifact", version.Version, s.log)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		rpc.Handle(r, "upload", public(s.upload)),
		rpc.Handle(r, "store", public(s.storeWhole)),
		rpc.Handle(r, "download", public(s.download)),
		rpc.Handle(r, "stat", public(s.stat)),
		rpc.Handle(r, "assign", public(s.assign)),
		rpc.Handle(r, "keep", public(s.keep)),
		rpc.Handle(r, "discard", public(s.discard)),
		rpc.Handle(r, "adopt", public(s.adopt)),
		rpc.Handle(r, "take_over", public(s.takeOver)),
		rpc.Handle(r, "log", public(s.logOf)),
		rpc.Handle(r, "record_log", public(s.recordLog)),
		rpc.Handle(r, "expire_builds", public(s.expireBuilds)),
		rpc.Handle(r, "measure_builds", public(s.measureBuilds)),
		rpc.HandleWorker(r, "grant",
			func(ctx context.Context, worker string, req *artifactv1.WorkerGrantRequest) (*artifactv1.WorkerGrantResponse, error) {
				resp, err := s.grantWorker(ctx, worker, req)
				return resp, translate(err)
			}),
	)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("serve artifact requests: %w", err), r.Stop(ctx))
	}
	return r, nil
}

// public makes a handler's errors fit for the asker.
func public[Req any, Resp proto.Message](f func(context.Context, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, req Req) (Resp, error) {
		resp, err := f(ctx, req)
		return resp, translate(err)
	}
}
