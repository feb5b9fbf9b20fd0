package ingest

import (
	"context"
	"fmt"

	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// requestsLoop answers on fa.ingest.*.
func (g *Ingest) requestsLoop(ctx context.Context) error {
	return rpc.Run(ctx, g.deps.Conn, "ingest", version.Version, g.log, func(svc *rpc.Service) error {
		return ingestv1.RegisterIngestServiceServer(svc, requests{g})
	})
}

// maxExpire bounds the builds or workers per request.
const maxExpire = 200

// requests implements ingestv1.IngestServiceServer.
type requests struct{ *Ingest }

// ExpireBuilds deletes the gateways' data of builds.
func (g requests) ExpireBuilds(ctx context.Context, r *ingestv1.ExpireBuildsRequest) (*ingestv1.ExpireBuildsResponse, error) {
	if n := len(r.GetBuildIds()); n > maxExpire {
		return nil, fmt.Errorf("%w: %d builds in one request, at most %d are allowed", build.ErrInvalid, n, maxExpire)
	}
	err := g.store.ExpireBuilds(ctx, r.GetBuildIds())
	if err == nil && r.GetForget() {
		err = g.store.ForgetBuilds(ctx, r.GetBuildIds())
	}
	return &ingestv1.ExpireBuildsResponse{}, err
}

// ForgetWorkers deletes the credentials of workers.
func (g requests) ForgetWorkers(ctx context.Context, r *ingestv1.ForgetWorkersRequest) (*ingestv1.ForgetWorkersResponse, error) {
	if n := len(r.GetWorkerIds()); n > maxExpire {
		return nil, fmt.Errorf("%w: %d workers in one request, at most %d are allowed", build.ErrInvalid, n, maxExpire)
	}
	return &ingestv1.ForgetWorkersResponse{}, g.store.ForgetWorkers(ctx, r.GetWorkerIds())
}
