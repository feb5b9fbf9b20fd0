package scheduler

import (
	"context"

	"google.golang.org/protobuf/proto"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

const (
	// defaultExport is how many things a page gives that is not told, exportBytes where it ends early: below a message's limit (1 MiB).
	defaultExport = 100
	exportBytes   = 512 << 10
)

func exportLimit(n int32) int32 {
	if n <= 0 {
		return defaultExport
	}
	return min(n, maxPage)
}

// ExportBuilds gives builds with their attempts, oldest first.
func (s *Scheduler) ExportBuilds(ctx context.Context, r *schedulerv1.ExportBuildsRequest) (*schedulerv1.ExportBuildsResponse, error) {
	limit := exportLimit(r.GetLimit())
	builds, err := s.store.After(ctx, r.GetAfterSeq(), limit)
	if err != nil {
		return nil, err
	}
	resp, size := &schedulerv1.ExportBuildsResponse{}, 0
	for _, b := range builds {
		attempts, err := s.store.Attempts(ctx, b.ID)
		if err != nil {
			return nil, err
		}
		one := &schedulerv1.GetResponse{Build: view(b), Attempts: attemptViews(attempts)}
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

func attemptViews(attempts []store.Attempt) (views []*schedulerv1.Attempt) {
	for _, a := range attempts {
		views = append(views, &schedulerv1.Attempt{
			Number: a.Number, WorkerId: a.WorkerID, WorkerName: a.WorkerName, ClaimedAtMs: ms(a.ClaimedAt),
			StartedAtMs: ms(a.StartedAt), EndedAtMs: ms(a.EndedAt), Outcome: string(a.Outcome), Error: a.Error,
		})
	}
	return views
}

// ExportWorkers gives workers by id, with what they built.
func (s *Scheduler) ExportWorkers(ctx context.Context, r *schedulerv1.ExportWorkersRequest) (*schedulerv1.ExportWorkersResponse, error) {
	limit := exportLimit(r.GetLimit())
	workers, err := s.store.WorkersAfter(ctx, r.GetAfterId(), limit)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ExportWorkersResponse{}
	for _, w := range workers {
		one, err := s.getWorkerRetained(ctx, &schedulerv1.GetWorkerRequest{WorkerId: w.ID})
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
