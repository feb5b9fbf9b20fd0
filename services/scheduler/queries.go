package scheduler

import (
	"context"
	"errors"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/reuse"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// queries answers requests that only read.
type queries struct{ *Scheduler }

// Get returns a build, its attempts and, while it waits, its position and the reason. If the request asks for it, the trace of a build
// that has expired is returned instead of build.ErrNotFound.
func (q queries) Get(ctx context.Context, r *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	b, err := q.store.Build(ctx, r.GetBuildId())
	if errors.Is(err, build.ErrNotFound) && r.GetExpired() {
		t, err := q.expired.Trace(ctx, r.GetBuildId())
		if err != nil {
			return nil, err
		}
		return &schedulerv1.GetResponse{Expired: retention.ViewTrace(t)}, nil
	}
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.GetResponse{Build: q.rules.ViewBuild(b)}
	if r.GetBrief() {
		return resp, nil
	}
	if err := q.addReuses(ctx, b, resp); err != nil {
		return nil, err
	}
	attempts, err := q.store.Attempts(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	resp.Attempts = view.Attempts(attempts)
	for _, a := range attempts {
		if a.Number == b.Attempt && a.WorkerID == b.WorkerID {
			resp.Build.WorkerName = a.WorkerName
		}
	}
	if !b.State.Final() {
		return resp, q.viewWaiting(ctx, resp.GetBuild(), b)
	}
	p, pinned, err := q.expired.Pinned(ctx, b.ID)
	if pinned {
		resp.Pin = retention.ViewPin(p)
	}
	return resp, err
}

// addReuses adds how often a completed build was reused.
func (q queries) addReuses(ctx context.Context, b store.Build, resp *schedulerv1.GetResponse) error {
	if b.State != build.Completed {
		return nil
	}
	keys, err := store.ReadKeys(ctx, q.store, []store.Build{b})
	if err != nil || len(keys) == 0 {
		return err
	}
	reuse.AddKey(resp.GetBuild(), keys[b.ID])
	all, err := store.ReadReuses(ctx, q.store, b.ID)
	resp.Reuses = reuse.View(all)
	return err
}

// viewWaiting adds to a waiting build its position, reason and expected start.
func (q queries) viewWaiting(ctx context.Context, v *schedulerv1.Build, b store.Build) error {
	if !b.State.Waiting() {
		return nil
	}
	f, err := q.dispatch.Forecast(ctx)
	if err != nil {
		return err
	}
	st := q.dispatch.Standing(f, b)
	v.Position, v.WaitingFor, v.ExpectedStartMs = st.Position, st.Reason, store.Millis(st.Start)
	return nil
}

// List returns builds, the newest first.
func (q queries) List(ctx context.Context, r *schedulerv1.ListRequest) (*schedulerv1.ListResponse, error) {
	limit := view.Limit(r.GetLimit(), view.MaxPage)
	states := make([]build.State, len(r.GetStates()))
	for i, st := range r.GetStates() {
		states[i] = build.State(st)
	}
	builds, err := q.store.List(ctx, limit+1, store.Filter{
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
	keys := map[string]store.BuildKey{}
	if !r.GetBrief() {
		if keys, err = store.ReadKeys(ctx, q.store, builds); err != nil {
			return nil, err
		}
	}
	for _, b := range builds {
		v := q.rules.ViewBuild(b)
		reuse.AddKey(v, keys[b.ID])
		if v.WorkerName = b.WorkerName; !r.GetBrief() {
			if err := q.viewWaiting(ctx, v, b); err != nil {
				return nil, err
			}
		}
		resp.Builds = append(resp.Builds, v)
	}
	return resp, nil
}

// Summary returns the queue's figures, and what administrators should know.
func (q queries) Summary(ctx context.Context, _ *schedulerv1.SummaryRequest) (*schedulerv1.SummaryResponse, error) {
	waiting, leased, err := q.store.Summary(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := q.store.Groups(ctx, q.now())
	if err != nil {
		return nil, err
	}
	workers := 0
	for _, g := range groups {
		workers += g.Workers
	}
	next, err := q.expired.NextEffective(ctx, q.now())
	if err != nil {
		return nil, err
	}
	return &schedulerv1.SummaryResponse{
		Pending: waiting, Active: leased, Total: waiting + leased, WorkersOnline: int64(workers), Notice: retention.Notice(next),
	}, nil
}

// Stats returns the figures of the whole farm, with today's builds that have expired.
func (q queries) Stats(ctx context.Context, r *schedulerv1.StatsRequest) (*schedulerv1.StatsResponse, error) {
	midnight := q.now().Truncate(24 * time.Hour) // the clock is UTC
	since := midnight
	if r.GetWithoutToday() {
		since = midnight.AddDate(100, 0, 0) // none: the one figure that would be counted build by build
	}
	f, err := q.store.Figures(ctx, since)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.StatsResponse{
		WorkersOnline: f.Online, Waiting: f.Waiting, Active: f.Leased, CompletedToday: f.CompletedSince, Ended: f.Ended,
		BuildMs: f.BuildTime.Milliseconds(),
	}
	if r.GetWithoutToday() {
		return resp, nil
	}
	expired, err := q.expired.CompletedSince(ctx, midnight)
	resp.CompletedToday += expired
	return resp, err
}
