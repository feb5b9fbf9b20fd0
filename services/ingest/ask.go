package ingest

import (
	"context"
	"fmt"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// errUnknownID stands for an id that no build can have: as unknown as any other.
func errUnknownID(id string) error { return fmt.Errorf("build %.80q: %w", id, build.ErrNotFound) }

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
	req.Expired = true
	resp, err := g.services.scheduler.Get(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", req.GetBuildId(), err)
	}
	if t := resp.GetExpired(); t != nil {
		return nil, &expiredError{t}
	}
	return resp, nil
}

func (g *Ingest) cancel(ctx context.Context, id string) (*schedulerv1.Build, error) {
	if !build.ValidID(id) {
		return nil, errUnknownID(id)
	}
	resp, err := g.services.scheduler.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id})
	if err != nil {
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
		filter.Limit = int32(min(limit-len(builds), maxAsk)) //nolint:gosec // at most maxAsk
		resp, err := g.services.scheduler.List(ctx, filter)
		if err != nil {
			return nil, 0, err
		}
		builds = append(builds, resp.GetBuilds()...)
		if filter.BeforeSeq = resp.GetNextBeforeSeq(); filter.GetBeforeSeq() == 0 {
			break
		}
	}
	return builds, filter.GetBeforeSeq(), nil
}
