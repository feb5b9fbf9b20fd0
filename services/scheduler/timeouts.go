package scheduler

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// timeoutsEvery is how long a replica may not know what another was told of a project's timeouts.
const timeoutsEvery = 2 * time.Second

// timeouts are those of every project that has its own, kept in memory: each claim and stage asks. The zero value is empty; it
// is safe for concurrent use.
type timeouts struct {
	mu        sync.RWMutex
	byProject map[string]store.Timeouts
}

func (t *timeouts) of(project string) store.Timeouts {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byProject[project]
}

func (t *timeouts) set(all map[string]store.Timeouts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byProject = all
}

// least is the shortest of what a figure is anywhere: of the configuration's and of each project's own.
func (t *timeouts) least(d time.Duration, of func(store.Timeouts) time.Duration) time.Duration {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, x := range t.byProject {
		if own := of(x); own > 0 && (own < d || d <= 0) {
			d = own
		}
	}
	return d
}

func (s *Scheduler) readTimeouts(ctx context.Context) error {
	all, err := s.store.Timeouts(ctx)
	if err == nil {
		s.timeouts.set(all)
	}
	return err
}

func (s *Scheduler) timeoutsLoop(ctx context.Context) error {
	tick := time.NewTicker(timeoutsEvery)
	defer tick.Stop()
	for {
		if err := s.readTimeouts(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "projects' timeouts not read, those known before hold", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ownTTL is the silence forgiven to a build in a stage if its profile or its project says; 0 is the configuration's.
func (s *Scheduler) ownTTL(b store.Build, stage string) time.Duration {
	if b.StageTTL > 0 && stage == b.Stage {
		return b.StageTTL
	}
	return s.timeouts.of(b.Project).StageTTLs[build.Stage(stage)]
}

// ttl is the silence forgiven to a build in a stage.
func (s *Scheduler) ttl(b store.Build, stage string) time.Duration {
	if own := s.ownTTL(b, stage); own > 0 {
		return own
	}
	return build.Stage(stage).TTL(s.cfg.StageTTLs)
}

// timeout is after how long a build is killed, whatever it does.
func (s *Scheduler) timeout(b store.Build) time.Duration {
	if b.Timeout > 0 {
		return b.Timeout
	}
	if own := s.timeouts.of(b.Project).Build; own > 0 {
		return own
	}
	return s.cfg.BuildTimeout
}

// waitAlert is after how long of waiting an alert is told; 0 is never.
func (s *Scheduler) waitAlert(project string) time.Duration {
	own := s.timeouts.of(project).WaitAlert
	switch {
	case own < 0:
		return 0
	case own > 0:
		return own
	}
	return s.cfg.WaitAlert
}

// SetTimeouts replaces a project's. It is build.ErrInvalid beyond the configuration's maxima.
func (s *Scheduler) SetTimeouts(ctx context.Context, r *schedulerv1.SetTimeoutsRequest) (*schedulerv1.SetTimeoutsResponse, error) {
	t, project := r.GetTimeouts(), r.GetTimeouts().GetProject()
	x, err := s.checkTimeouts(t)
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error { return tx.SetTimeouts(ctx, project, x) })
	if err != nil {
		return nil, err
	}
	if err := s.readTimeouts(ctx); err != nil {
		return nil, err
	}
	return &schedulerv1.SetTimeoutsResponse{Timeouts: timeoutsView(project, x)}, nil
}

// maxStages of a project with TTLs of their own.
const maxStages = 100

func (s *Scheduler) checkTimeouts(t *schedulerv1.Timeouts) (store.Timeouts, error) {
	x := store.Timeouts{
		StageTTLs: map[build.Stage]time.Duration{},
		Build:     time.Duration(t.GetTimeoutSeconds()) * time.Second, WaitAlert: time.Duration(t.GetWaitAlertSeconds()) * time.Second,
	}
	switch {
	case t.GetProject() == "" || !nameRule.MatchString(t.GetProject()):
		return x, fmt.Errorf("%w: project %.120q", build.ErrInvalid, t.GetProject())
	case t.GetTimeoutSeconds() < 0 || t.GetTimeoutSeconds() > int64(s.cfg.MaxBuildTimeout/time.Second):
		return x, fmt.Errorf("%w: a build timeout of %d s, want 1 s to %s", build.ErrInvalid, t.GetTimeoutSeconds(), s.cfg.MaxBuildTimeout)
	case t.GetWaitAlertSeconds() < -1 || t.GetWaitAlertSeconds() > maxWaitAlert:
		return x, fmt.Errorf("%w: an alert after %d s, want -1 (never) to %d", build.ErrInvalid, t.GetWaitAlertSeconds(), maxWaitAlert)
	case len(t.GetStageTtlSeconds()) > maxStages:
		return x, fmt.Errorf("%w: %d stages, at most %d", build.ErrInvalid, len(t.GetStageTtlSeconds()), maxStages)
	}
	for stage, n := range t.GetStageTtlSeconds() {
		if !build.ValidID(stage) || n < 1 || time.Duration(n)*time.Second > s.cfg.MaxStageTTL {
			return x, fmt.Errorf("%w: %d s of silence in stage %.80q, want 1 s to %s", build.ErrInvalid, n, stage, s.cfg.MaxStageTTL)
		}
		x.StageTTLs[build.Stage(stage)] = time.Duration(n) * time.Second
	}
	return x, nil
}

// maxWaitAlert is a month.
const maxWaitAlert = 31 * 24 * 60 * 60

func timeoutsView(project string, x store.Timeouts) *schedulerv1.Timeouts {
	t := &schedulerv1.Timeouts{
		Project: project, StageTtlSeconds: map[string]int32{}, TimeoutSeconds: int64(x.Build / time.Second),
		WaitAlertSeconds: int64(x.WaitAlert / time.Second),
	}
	for stage, d := range x.StageTTLs {
		t.StageTtlSeconds[string(stage)] = int32(d / time.Second)
	}
	return t
}

// GetTimeouts returns what a project has of its own, and what its builds have.
func (s *Scheduler) GetTimeouts(ctx context.Context, r *schedulerv1.GetTimeoutsRequest) (*schedulerv1.GetTimeoutsResponse, error) {
	if err := s.readTimeouts(ctx); err != nil {
		return nil, err
	}
	own := s.timeouts.of(r.GetProject())
	b := store.Build{Project: r.GetProject()}
	all := store.Timeouts{StageTTLs: maps.Clone(s.cfg.StageTTLs), Build: s.timeout(b), WaitAlert: s.waitAlert(b.Project)}
	maps.Copy(all.StageTTLs, own.StageTTLs)
	return &schedulerv1.GetTimeoutsResponse{
		Own: timeoutsView(r.GetProject(), own), Effective: timeoutsView(r.GetProject(), all),
		MaxTimeoutSeconds: int64(s.cfg.MaxBuildTimeout / time.Second), MaxStageTtlSeconds: int32(s.cfg.MaxStageTTL / time.Second),
	}, nil
}
