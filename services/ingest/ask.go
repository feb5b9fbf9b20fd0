package ingest

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// askTimeout bounds each question to another service: long enough to sit out its restart.
const askTimeout = 10 * time.Second

func (g *Ingest) ask(ctx context.Context, service, verb string, req, resp proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return rpc.Call(ctx, g.nc, bus.RequestSubject(service, verb), req, resp) //nolint:wrapcheck // names the subject
}

// getBuild asks the scheduler for one build with its attempts.
func (g *Ingest) getBuild(ctx context.Context, id string) (*schedulerv1.GetResponse, error) {
	return g.askBuild(ctx, &schedulerv1.GetRequest{BuildId: id})
}

// briefly asks for the build alone, which is cheaper.
func (g *Ingest) briefly(ctx context.Context, id string) (*schedulerv1.Build, error) {
	resp, err := g.askBuild(ctx, &schedulerv1.GetRequest{BuildId: id, Brief: true})
	return resp.GetBuild(), err
}

func (g *Ingest) askBuild(ctx context.Context, req *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	if !build.ValidID(req.GetBuildId()) {
		return nil, errUnknownID(req.GetBuildId())
	}
	var resp schedulerv1.GetResponse
	req.Expired = true
	if err := g.ask(ctx, "scheduler", "get", req, &resp); err != nil {
		return nil, fmt.Errorf("build %s: %w", req.GetBuildId(), err)
	}
	if t := resp.GetExpired(); t != nil {
		return nil, &expiredError{t}
	}
	return &resp, nil
}

func (g *Ingest) cancel(ctx context.Context, id string) (*schedulerv1.Build, error) {
	if !build.ValidID(id) {
		return nil, errUnknownID(id)
	}
	var resp schedulerv1.CancelResponse
	if err := g.ask(ctx, "scheduler", "cancel", &schedulerv1.CancelRequest{BuildId: id}, &resp); err != nil {
		return nil, g.orExpired(ctx, id, fmt.Errorf("cancel %s: %w", id, err))
	}
	g.holders.forget(id)
	return resp.GetBuild(), nil
}

const (
	// maxList bounds what one request lists; maxAsk what one question to the scheduler does, so that its answer fits into
	// one message.
	maxList = 1000
	maxAsk  = 500
)

// page is at most limit builds that the filter lets through, newest first, and the cursor of what follows (0 at the end). The
// filter's own cursor is where it begins.
func (g *Ingest) page(ctx context.Context, limit int, filter *schedulerv1.ListRequest) (builds []*schedulerv1.Build, next int64, err error) {
	for len(builds) < limit {
		var resp schedulerv1.ListResponse
		filter.Limit = int32(min(limit-len(builds), maxAsk)) //nolint:gosec // at most maxAsk
		if err := g.ask(ctx, "scheduler", "list", filter, &resp); err != nil {
			return nil, 0, err
		}
		builds = append(builds, resp.GetBuilds()...)
		if filter.BeforeSeq = resp.GetNextBeforeSeq(); filter.GetBeforeSeq() == 0 {
			break
		}
	}
	return builds, filter.GetBeforeSeq(), nil
}
