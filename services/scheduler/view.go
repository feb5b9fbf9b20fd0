package scheduler

import (
	"context"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// view is a build as others see it.
func view(b store.Build) *schedulerv1.Build {
	v := &schedulerv1.Build{
		Id: b.ID, Project: b.Project, Platform: string(b.Platform), Pool: b.Pool, State: string(b.State), Attempt: b.Attempt,
		WorkerId: b.WorkerID, Stage: b.Stage, Priority: b.Priority, Error: b.Error, Profile: b.Profile,
		Source: b.Source, Certs: b.Certs, Result: b.Result, RetryOf: b.RetryOf,
		SubmittedAtMs: ms(b.SubmittedAt), QueuedAtMs: ms(b.QueuedAt), AssignedAtMs: ms(b.AssignedAt),
		StartedAtMs: ms(b.StartedAt), FinishedAtMs: ms(b.FinishedAt), NotBeforeMs: ms(b.NotBefore), Seq: b.Seq,
	}
	if o := b.Origin; o != (build.Origin{}) {
		v.Origin = &schedulerv1.Origin{Repository: o.Repository, Commit: o.Commit, Branch: o.Branch}
	}
	return v
}

// viewTTL is view with the silence forgiven, if the build has another than the configuration's.
func (s *Scheduler) viewTTL(b store.Build) *schedulerv1.Build {
	v, stage := view(b), b.Stage
	if stage == "" {
		stage = string(build.StagePrepare)
	}
	v.StageTtlSeconds = int32(s.ownTTL(b, stage) / time.Second)
	return v
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Get returns a build, its attempts and, while it waits, its position and the reason.
func (s *Scheduler) Get(ctx context.Context, r *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	b, err := s.store.Build(ctx, r.GetBuildId())
	if err != nil {
		return nil, err
	}
	v := s.viewTTL(b)
	if r.GetBrief() {
		return &schedulerv1.GetResponse{Build: v}, nil
	}
	attempts, err := s.store.Attempts(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	if err := s.viewWaiting(ctx, v, b); err != nil {
		return nil, err
	}
	for _, a := range attempts {
		if a.Number == b.Attempt && a.WorkerID == b.WorkerID {
			v.WorkerName = a.WorkerName
		}
	}
	return &schedulerv1.GetResponse{Build: v, Attempts: attemptViews(attempts)}, nil
}

// viewWaiting adds to a waiting build its position, reason and expected start.
func (s *Scheduler) viewWaiting(ctx context.Context, v *schedulerv1.Build, b store.Build) error {
	if !b.State.Waiting() {
		return nil
	}
	f, err := s.forecast(ctx)
	if err != nil {
		return err
	}
	st := s.standing(f, b)
	v.Position, v.WaitingFor, v.ExpectedStartMs = st.position, st.reason, ms(st.start)
	return nil
}

// maxPage bounds a list, so that its answer fits into one message of the bus (1 MiB).
const maxPage = 500

// List gives builds newest first.
func (s *Scheduler) List(ctx context.Context, r *schedulerv1.ListRequest) (*schedulerv1.ListResponse, error) {
	limit := r.GetLimit()
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	states := make([]build.State, len(r.GetStates()))
	for i, st := range r.GetStates() {
		states[i] = build.State(st)
	}
	builds, err := s.store.List(ctx, limit+1, store.Filter{
		States: states, Project: r.GetProject(), Platform: r.GetPlatform(), WorkerID: r.GetWorkerId(), BeforeSeq: r.GetBeforeSeq(),
		Brief: r.GetBrief(),
	})
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListResponse{}
	if len(builds) > int(limit) {
		builds = builds[:limit]
		resp.NextBeforeSeq = builds[limit-1].Seq
	}
	for _, b := range builds {
		v := s.viewTTL(b)
		if v.WorkerName = b.WorkerName; !r.GetBrief() {
			if err := s.viewWaiting(ctx, v, b); err != nil {
				return nil, err
			}
		}
		resp.Builds = append(resp.Builds, v)
	}
	return resp, nil
}

// Summary returns the queue's figures.
func (s *Scheduler) Summary(ctx context.Context, _ *schedulerv1.SummaryRequest) (*schedulerv1.SummaryResponse, error) {
	waiting, leased, err := s.store.Summary(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := s.store.Groups(ctx, s.now())
	if err != nil {
		return nil, err
	}
	workers := 0
	for _, g := range groups {
		workers += g.Workers
	}
	return &schedulerv1.SummaryResponse{Pending: waiting, Active: leased, Total: waiting + leased, WorkersOnline: int64(workers)}, nil
}
