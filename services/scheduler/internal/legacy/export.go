package legacy

import (
	"context"

	"google.golang.org/protobuf/proto"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
)

const (
	// defaultExport is how many entries a page has by default; exportBytes ends it early, below a message's limit (1 MiB).
	defaultExport = 100
	exportBytes   = 512 << 10
)

// ExportBuilds returns builds with their attempts, oldest first.
func (s *Service) ExportBuilds(ctx context.Context, r *schedulerv1.ExportBuildsRequest) (*schedulerv1.ExportBuildsResponse, error) {
	limit := view.Limit(r.GetLimit(), defaultExport)
	builds, err := s.machine.Store.After(ctx, r.GetAfterSeq(), limit)
	if err != nil {
		return nil, err
	}
	resp, size := &schedulerv1.ExportBuildsResponse{}, 0
	for _, b := range builds {
		attempts, err := s.machine.Store.Attempts(ctx, b.ID)
		if err != nil {
			return nil, err
		}
		one := &schedulerv1.GetResponse{Build: view.Build(b), Attempts: view.Attempts(attempts)}
		resp.Builds, resp.NextAfterSeq = append(resp.Builds, one), b.Seq
		if size += proto.Size(one); size > exportBytes {
			return resp, nil
		}
	}
	if len(builds) < int(limit) {
		resp.NextAfterSeq = 0
	}
	return resp, nil
}

// ExportWorkers returns workers by id, with what became of their attempts.
func (s *Service) ExportWorkers(ctx context.Context, r *schedulerv1.ExportWorkersRequest) (*schedulerv1.ExportWorkersResponse, error) {
	limit := view.Limit(r.GetLimit(), defaultExport)
	workers, err := s.machine.Store.WorkersAfter(ctx, r.GetAfterId(), limit)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ExportWorkersResponse{}
	for _, w := range workers {
		one, err := s.registry.GetWorker(ctx, &schedulerv1.GetWorkerRequest{WorkerId: w.ID})
		if err != nil {
			return nil, err
		}
		resp.Workers, resp.NextAfterId = append(resp.Workers, one), w.ID
	}
	if len(workers) < int(limit) {
		resp.NextAfterId = ""
	}
	return resp, nil
}
