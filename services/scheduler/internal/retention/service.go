package retention

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"
	"unicode/utf8"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Service answers the scheduler's requests about retention, and sweeps. Make it with NewService; it is safe for concurrent use.
type Service struct {
	cfg       Config
	store     *Store
	sweeper   *Sweeper
	neighbors Neighbors
	now       func() time.Time
	log       *slog.Logger
}

// NewService returns a service, and gives a new farm the configuration's policy.
func NewService(ctx context.Context, cfg Config, st *Store, n Neighbors, now func() time.Time, log *slog.Logger) (*Service, error) {
	first := cfg.FirstPolicy()
	first.SetAt = now()
	first.EffectiveAt = first.SetAt.Add(cfg.Notice)
	seeded, err := st.Seed(ctx, first)
	if err != nil {
		return nil, err
	}
	if seeded {
		log.InfoContext(ctx, "new farm has the default retention policy", "max_age", Span(first.MaxAge), "takes_effect", first.EffectiveAt)
	}
	return &Service{cfg: cfg, store: st, sweeper: NewSweeper(cfg, st, n, now, log), neighbors: n, now: now, log: log}, nil
}

// Run sweeps until ctx ends.
func (s *Service) Run(ctx context.Context) error { return s.sweeper.Run(ctx) }

// Sweep runs one sweep, unless another scheduler is sweeping.
func (s *Service) Sweep(ctx context.Context) error { return s.sweeper.Round(ctx) }

// GetRetention returns the policies and what the last sweep did.
func (s *Service) GetRetention(ctx context.Context, _ *schedulerv1.GetRetentionRequest) (*schedulerv1.GetRetentionResponse, error) {
	ps, err := s.store.Policies(ctx)
	if err != nil {
		return nil, err
	}
	st, err := s.store.Status(ctx)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.GetRetentionResponse{
		LastSweep: &schedulerv1.RetentionSweep{
			BeganAtMs: store.Millis(st.Last.BeganAt), EndedAtMs: store.Millis(st.Last.EndedAt), Builds: st.Last.Builds, Bytes: st.Last.Bytes,
			Workers: st.Last.Workers, Error: st.Last.Error,
		},
		Cleaning: st.Cleaning, Expired: st.Expired, TraceSeconds: seconds(s.cfg.Trace), Pinned: st.Pinned,
		NoticeSeconds: seconds(s.cfg.Notice), Notice: Notice(ps.Pending(s.now())),
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

func policyView(p Policy) *schedulerv1.RetentionPolicy {
	return &schedulerv1.RetentionPolicy{
		Project: p.Project, MaxAgeSeconds: seconds(p.MaxAge), MaxBuilds: p.MaxBuilds, MaxBytes: p.MaxBytes, FarmBytes: p.FarmBytes,
		KeepLastSuccessful: p.KeepLast, KeepLastSeconds: seconds(p.KeepLastAge), WorkerAgeSeconds: seconds(p.WorkerAge),
		SetAtMs: store.Millis(p.SetAt), EffectiveAtMs: store.Millis(p.EffectiveAt),
	}
}

// Notice says for people when the next policy takes effect; empty if none waits.
func Notice(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("A retention policy takes effect at %s. \"freeagent retention plan\" shows what will expire.", at.Format(time.RFC3339))
}

// SetRetention replaces or removes a policy. What would expire by it waits for the notice.
func (s *Service) SetRetention(ctx context.Context, r *schedulerv1.SetRetentionRequest) (*schedulerv1.SetRetentionResponse, error) {
	p, err := s.policyOf(r)
	if err != nil {
		return nil, err
	}
	p.SetAt = s.now()
	p.EffectiveAt = p.SetAt.Add(s.cfg.Notice)
	log := s.log.With("project", p.Project, "takes_effect", p.EffectiveAt)
	if r.GetRemove() {
		if err := s.store.RemovePolicy(ctx, p.Project, p.SetAt, p.EffectiveAt); err != nil {
			return nil, err
		}
		log.WarnContext(ctx, "retention policy removed")
		s.sweeper.Wake()
		return &schedulerv1.SetRetentionResponse{}, nil
	}
	if err := s.store.SetPolicy(ctx, p); err != nil {
		return nil, err
	}
	log.WarnContext(ctx, "retention policy set", "max_age", Span(p.MaxAge), "max_builds", p.MaxBuilds, "max_bytes", p.MaxBytes,
		"farm_bytes", p.FarmBytes, "keep_last", p.KeepLast)
	s.sweeper.Wake()
	return &schedulerv1.SetRetentionResponse{Policy: policyView(p)}, nil
}

// policyOf reads and checks what a request says.
func (s *Service) policyOf(r *schedulerv1.SetRetentionRequest) (Policy, error) {
	v := r.GetPolicy()
	for _, n := range []int64{v.GetMaxAgeSeconds(), v.GetKeepLastSeconds(), v.GetWorkerAgeSeconds()} {
		if n < 0 || n > math.MaxInt64/int64(time.Second) {
			return Policy{}, fmt.Errorf("%w: a time of %d seconds", build.ErrInvalid, n)
		}
	}
	if !build.ValidName(v.GetProject()) {
		return Policy{}, fmt.Errorf("%w: project %.120q (letters, digits, space and ._@/-, at most 100)", build.ErrInvalid, v.GetProject())
	}
	p := Policy{
		Project: v.GetProject(), MaxAge: time.Duration(v.GetMaxAgeSeconds()) * time.Second, MaxBuilds: v.GetMaxBuilds(),
		MaxBytes: v.GetMaxBytes(), FarmBytes: v.GetFarmBytes(), KeepLast: v.GetKeepLastSuccessful(),
		KeepLastAge: time.Duration(v.GetKeepLastSeconds()) * time.Second, WorkerAge: time.Duration(v.GetWorkerAgeSeconds()) * time.Second,
	}
	if r.GetRemove() {
		return Policy{Project: p.Project}, nil
	}
	return p, p.Validate(s.cfg.MinAge)
}

// maxNote bounds what a pin says, in characters.
const maxNote = 200

// PinBuild pins a build or ends that; build.ErrNotFound if there is no such build.
func (s *Service) PinBuild(ctx context.Context, r *schedulerv1.PinBuildRequest) (*schedulerv1.PinBuildResponse, error) {
	if utf8.RuneCountInString(r.GetNote()) > maxNote || !utf8.ValidString(r.GetNote()) {
		return nil, fmt.Errorf("%w: the note of a pin must have at most %d characters", build.ErrInvalid, maxNote)
	}
	if r.GetUnpin() {
		return &schedulerv1.PinBuildResponse{}, s.store.Unpin(ctx, r.GetBuildId())
	}
	if err := s.store.Pin(ctx, r.GetBuildId(), Pin{At: s.now(), Note: r.GetNote()}); err != nil {
		return nil, err
	}
	p, _, err := s.store.Pinned(ctx, r.GetBuildId())
	return &schedulerv1.PinBuildResponse{Pin: ViewPin(p)}, err
}

// ViewPin returns a pin as others see it.
func ViewPin(p Pin) *schedulerv1.Pin {
	return &schedulerv1.Pin{PinnedAtMs: store.Millis(p.At), Note: p.Note}
}

// ViewTrace returns the trace of an expired build as others see it.
func ViewTrace(t Trace) *schedulerv1.ExpiredBuild {
	return &schedulerv1.ExpiredBuild{
		Id: t.ID, Project: t.Project, Platform: t.Platform, State: t.State, Seq: t.Seq, WorkerId: t.WorkerID,
		SubmittedAtMs: store.Millis(t.SubmittedAt), AssignedAtMs: store.Millis(t.AssignedAt), FinishedAtMs: store.Millis(t.FinishedAt),
		ExpiredAtMs: store.Millis(t.ExpiredAt), Rule: string(t.Rule), Policy: t.Policy,
	}
}
