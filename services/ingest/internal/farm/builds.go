package farm

import (
	"context"
	"errors"
	"fmt"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// UnknownBuild returns the error for an id that no build can have. It matches build.ErrNotFound.
func UnknownBuild(id string) error { return fmt.Errorf("build %.80q: %w", id, build.ErrNotFound) }

// BuildWithAttempts returns a build with its attempts. It is build.ErrNotFound if there is none,
// and an ExpiredError if it has expired.
func (f *Farm) BuildWithAttempts(ctx context.Context, id string) (*schedulerv1.GetResponse, error) {
	return f.get(ctx, &schedulerv1.GetRequest{BuildId: id})
}

// Build returns a build alone, which is cheaper. Its errors are those of BuildWithAttempts.
func (f *Farm) Build(ctx context.Context, id string) (*schedulerv1.Build, error) {
	resp, err := f.get(ctx, &schedulerv1.GetRequest{BuildId: id, Brief: true})
	return resp.GetBuild(), err
}

func (f *Farm) get(ctx context.Context, req *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	if !build.ValidID(req.GetBuildId()) {
		return nil, UnknownBuild(req.GetBuildId())
	}
	req.Expired = true
	resp, err := f.Scheduler.Get(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", req.GetBuildId(), err)
	}
	if t := resp.GetExpired(); t != nil {
		return nil, &ExpiredError{t}
	}
	return resp, nil
}

// Cancel cancels a build and returns it. It is build.ErrFinished if the build has ended.
func (f *Farm) Cancel(ctx context.Context, id string) (*schedulerv1.Build, error) {
	if !build.ValidID(id) {
		return nil, UnknownBuild(id)
	}
	resp, err := f.Scheduler.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id})
	if err != nil {
		return nil, f.OrExpired(ctx, id, fmt.Errorf("cancel %s: %w", id, err))
	}
	f.ForgetLease(id)
	return resp.GetBuild(), nil
}

// OrExpired replaces build.ErrNotFound and build.ErrExpired by an ExpiredError if the build has
// expired.
func (f *Farm) OrExpired(ctx context.Context, id string, err error) error {
	if !errors.Is(err, build.ErrNotFound) && !errors.Is(err, build.ErrExpired) {
		return err
	}
	if _, gone := f.Build(ctx, id); errors.Is(gone, build.ErrExpired) {
		return gone
	}
	return err
}

const (
	// MaxPage bounds the builds of one list.
	MaxPage = 1000
	// MaxAsk bounds the builds of one request to the scheduler, so that its answer fits into one
	// message.
	MaxAsk = 500
)

// Page returns at most limit builds that match the filter, the newest first, and the cursor of what
// follows, 0 at the end. It begins at the cursor in the filter.
func (f *Farm) Page(ctx context.Context, limit int, filter *schedulerv1.ListRequest) (builds []*schedulerv1.Build, next int64, err error) {
	for len(builds) < limit {
		filter.Limit = int32(min(limit-len(builds), MaxAsk)) // at most MaxAsk
		resp, err := f.Scheduler.List(ctx, filter)
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

// ArchivedLog returns where the archive of a build's log is; its object is empty if there is none.
func (f *Farm) ArchivedLog(ctx context.Context, id string) (*artifactv1.LogResponse, error) {
	return f.Artifact.Log(ctx, &artifactv1.LogRequest{BuildId: id})
}

// MaxReports bounds a list of diagnostic reports, so that it fits into one message.
const MaxReports = 50

// Reports returns a worker's newest diagnostic reports. It is build.ErrWorkerUnknown if there is no
// such worker.
func (f *Farm) Reports(ctx context.Context, workerID string, limit int32) ([]*monitorv1.Report, error) {
	if _, err := f.Worker(ctx, workerID); err != nil {
		return nil, err
	}
	resp, err := f.Monitor.ListReports(ctx, &monitorv1.ListReportsRequest{WorkerId: workerID, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("reports of worker %s: %w", workerID, err)
	}
	return resp.GetReports(), nil
}

// Worker returns a worker and how its attempts ended. It is build.ErrWorkerUnknown if there is
// none.
func (f *Farm) Worker(ctx context.Context, id string) (*schedulerv1.GetWorkerResponse, error) {
	if !build.ValidID(id) {
		return nil, build.ErrWorkerUnknown
	}
	resp, err := f.Scheduler.GetWorker(ctx, &schedulerv1.GetWorkerRequest{WorkerId: id})
	if errors.Is(err, build.ErrWorkerUnknown) {
		return nil, build.ErrWorkerUnknown
	}
	return resp, err
}
