package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// RetentionConfig says how retention works; the policies themselves are set at run time.
type RetentionConfig = retention.Config

// RetentionPolicy says how long ended builds are kept.
type RetentionPolicy = retention.Policy

// retainer is the scheduler's part in retention.
type retainer struct {
	cfg     retention.Config
	store   *retention.Store
	sweeper *retention.Sweeper
}

// newRetainer returns the retainer, and gives a new farm the configuration's policy.
func (s *Scheduler) newRetainer(ctx context.Context, d Deps) (*retainer, error) {
	st, cfg := retention.NewStore(d.DB), s.cfg.Retention
	first := cfg.FirstPolicy()
	first.SetAt = s.now()
	first.EffectiveAt = first.SetAt.Add(cfg.Notice)
	seeded, err := st.Seed(ctx, first)
	if err != nil {
		return nil, err
	}
	if seeded {
		s.log.InfoContext(ctx, "new farm has the default retention policy", "max_age", retention.Span(first.MaxAge), "takes_effect", first.EffectiveAt)
	}
	now := func() time.Time { return s.now() } // tests set s.now later
	return &retainer{cfg: cfg, store: st, sweeper: retention.NewSweeper(cfg, st, neighbors{s}, now, s.log)}, nil
}

// GetRetention returns the policies and what the last sweep did.
func (s *Scheduler) GetRetention(ctx context.Context, _ *schedulerv1.GetRetentionRequest) (*schedulerv1.GetRetentionResponse, error) {
	ps, err := s.retainer.store.Policies(ctx)
	if err != nil {
		return nil, err
	}
	st, err := s.retainer.store.Status(ctx)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.GetRetentionResponse{
		LastSweep: &schedulerv1.RetentionSweep{
			BeganAtMs: ms(st.Last.BeganAt), EndedAtMs: ms(st.Last.EndedAt), Builds: st.Last.Builds, Bytes: st.Last.Bytes,
			Workers: st.Last.Workers, Error: st.Last.Error,
		},
		Cleaning: st.Cleaning, Expired: st.Expired, TraceSeconds: seconds(s.retainer.cfg.Trace), Pinned: st.Pinned,
		NoticeSeconds: seconds(s.retainer.cfg.Notice), Notice: retentionNotice(ps.Pending(s.now())),
	}
	if !ps.Farm.SetAt.IsZero() {
		resp.Farm = policyView(ps.Farm)
	}
	for _, p := range ps.Projects {
		if !p.Inherits {
			resp.Projects = append(resp.Projects, policyView(p))
		}
	}
	return resp, nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func policyView(p retention.Policy) *schedulerv1.RetentionPolicy {
	return &schedulerv1.RetentionPolicy{
		Project: p.Project, MaxAgeSeconds: seconds(p.MaxAge), MaxBuilds: p.MaxBuilds, MaxBytes: p.MaxBytes, FarmBytes: p.FarmBytes,
		KeepLastSuccessful: p.KeepLast, KeepLastSeconds: seconds(p.KeepLastAge), WorkerAgeSeconds: seconds(p.WorkerAge),
		SetAtMs: ms(p.SetAt), EffectiveAtMs: ms(p.EffectiveAt),
	}
}

// retentionNotice says for people when the next policy takes effect; empty if none waits.
func retentionNotice(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("A retention policy takes effect at %s. \"freeagent retention plan\" shows what will expire.", at.Format(time.RFC3339))
}

// SetRetention replaces or removes a policy. What it lets go waits for the notice.
func (s *Scheduler) SetRetention(ctx context.Context, r *schedulerv1.SetRetentionRequest) (*schedulerv1.SetRetentionResponse, error) {
	p, err := s.policyOf(r)
	if err != nil {
		return nil, err
	}
	p.SetAt = s.now()
	p.EffectiveAt = p.SetAt.Add(s.retainer.cfg.Notice)
	log := s.log.With("project", p.Project, "takes_effect", p.EffectiveAt)
	if r.GetRemove() {
		if err := s.retainer.store.RemovePolicy(ctx, p.Project, p.SetAt, p.EffectiveAt); err != nil {
			return nil, err
		}
		log.WarnContext(ctx, "retention policy removed")
		s.retainer.sweeper.Wake()
		return &schedulerv1.SetRetentionResponse{}, nil
	}
	if err := s.retainer.store.SetPolicy(ctx, p); err != nil {
		return nil, err
	}
	log.WarnContext(ctx, "retention policy set", "max_age", retention.Span(p.MaxAge), "max_builds", p.MaxBuilds, "max_bytes", p.MaxBytes,
		"farm_bytes", p.FarmBytes, "keep_last", p.KeepLast)
	s.retainer.sweeper.Wake()
	return &schedulerv1.SetRetentionResponse{Policy: policyView(p)}, nil
}

// policyOf reads and checks what a request says.
func (s *Scheduler) policyOf(r *schedulerv1.SetRetentionRequest) (retention.Policy, error) {
	v := r.GetPolicy()
	for _, n := range []int64{v.GetMaxAgeSeconds(), v.GetKeepLastSeconds(), v.GetWorkerAgeSeconds()} {
		if n < 0 || n > math.MaxInt64/int64(time.Second) {
			return retention.Policy{}, fmt.Errorf("%w: a time of %d seconds", build.ErrInvalid, n)
		}
	}
	if !nameRule.MatchString(v.GetProject()) {
		return retention.Policy{}, fmt.Errorf("%w: project %.120q (letters, digits, space and ._@/-, at most 100)", build.ErrInvalid, v.GetProject())
	}
	p := retention.Policy{
		Project: v.GetProject(), MaxAge: time.Duration(v.GetMaxAgeSeconds()) * time.Second, MaxBuilds: v.GetMaxBuilds(),
		MaxBytes: v.GetMaxBytes(), FarmBytes: v.GetFarmBytes(), KeepLast: v.GetKeepLastSuccessful(),
		KeepLastAge: time.Duration(v.GetKeepLastSeconds()) * time.Second, WorkerAge: time.Duration(v.GetWorkerAgeSeconds()) * time.Second,
	}
	if r.GetRemove() {
		return retention.Policy{Project: p.Project}, nil
	}
	return p, p.Validate(s.retainer.cfg.MinAge)
}

// maxNote bounds what a pin says, in characters.
const maxNote = 200

// PinBuild pins a build or ends that; build.ErrNotFound if there is no such build.
func (s *Scheduler) PinBuild(ctx context.Context, r *schedulerv1.PinBuildRequest) (*schedulerv1.PinBuildResponse, error) {
	if utf8.RuneCountInString(r.GetNote()) > maxNote || !utf8.ValidString(r.GetNote()) {
		return nil, fmt.Errorf("%w: the note of a pin must have at most %d characters", build.ErrInvalid, maxNote)
	}
	if r.GetUnpin() {
		if _, err := s.store.Build(ctx, r.GetBuildId()); err != nil {
			return nil, err
		}
		return &schedulerv1.PinBuildResponse{}, s.retainer.store.Unpin(ctx, r.GetBuildId())
	}
	if err := s.retainer.store.Pin(ctx, r.GetBuildId(), retention.Pin{At: s.now(), Note: r.GetNote()}); err != nil {
		return nil, err
	}
	p, _, err := s.retainer.store.Pinned(ctx, r.GetBuildId())
	return &schedulerv1.PinBuildResponse{Pin: pinView(p)}, err
}

func pinView(p retention.Pin) *schedulerv1.Pin {
	return &schedulerv1.Pin{PinnedAtMs: ms(p.At), Note: p.Note}
}

// getRetained is Get with what retention knows: the pin, and the trace of a build that has expired if the request asks for it.
func (s *Scheduler) getRetained(ctx context.Context, r *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	resp, err := s.Get(ctx, r)
	if errors.Is(err, build.ErrNotFound) && r.GetExpired() {
		t, err := s.retainer.store.Trace(ctx, r.GetBuildId())
		if err != nil {
			return nil, err
		}
		return &schedulerv1.GetResponse{Expired: traceView(t)}, nil
	}
	if err != nil || r.GetBrief() || !build.State(resp.GetBuild().GetState()).Final() {
		return resp, err
	}
	p, pinned, err := s.retainer.store.Pinned(ctx, r.GetBuildId())
	if pinned {
		resp.Pin = pinView(p)
	}
	return resp, err
}

func traceView(t retention.Trace) *schedulerv1.ExpiredBuild {
	return &schedulerv1.ExpiredBuild{
		Id: t.ID, Project: t.Project, Platform: t.Platform, State: t.State, Seq: t.Seq, WorkerId: t.WorkerID,
		SubmittedAtMs: ms(t.SubmittedAt), AssignedAtMs: ms(t.AssignedAt), FinishedAtMs: ms(t.FinishedAt), ExpiredAtMs: ms(t.ExpiredAt),
		Rule: string(t.Rule), Policy: t.Policy,
	}
}

// summaryWithNotice is Summary with what administrators should know.
func (s *Scheduler) summaryWithNotice(ctx context.Context, r *schedulerv1.SummaryRequest) (*schedulerv1.SummaryResponse, error) {
	resp, err := s.Summary(ctx, r)
	if err != nil {
		return nil, err
	}
	next, err := s.retainer.store.NextEffective(ctx, s.now())
	if err != nil {
		return nil, err
	}
	resp.Notice = retentionNotice(next)
	return resp, nil
}

// getWorkerRetained is GetWorker with the attempts of builds that have expired.
func (s *Scheduler) getWorkerRetained(ctx context.Context, r *schedulerv1.GetWorkerRequest) (*schedulerv1.GetWorkerResponse, error) {
	resp, err := s.GetWorker(ctx, r)
	if err != nil {
		return nil, err
	}
	completed, failed, err := s.retainer.store.Ended(ctx, r.GetWorkerId())
	if err != nil {
		return nil, err
	}
	resp.Completed, resp.Failed = resp.GetCompleted()+completed, resp.GetFailed()+failed
	return resp, nil
}

// statsRetained is Stats with today's builds that have expired.
func (s *Scheduler) statsRetained(ctx context.Context, r *schedulerv1.StatsRequest) (*schedulerv1.StatsResponse, error) {
	resp, err := s.Stats(ctx, r)
	if err != nil || r.GetWithoutToday() {
		return resp, err
	}
	expired, err := s.retainer.store.CompletedSince(ctx, s.now().Truncate(24*time.Hour))
	if err != nil {
		return nil, err
	}
	resp.CompletedToday = resp.GetCompletedToday() + expired
	return resp, nil
}
