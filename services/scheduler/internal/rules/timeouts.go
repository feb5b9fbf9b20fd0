package rules

import (
	"context"
	"fmt"
	"maps"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func (r *Rules) timeoutsOf(project string) store.Timeouts {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.timeouts[project]
}

// OwnTTL returns a build's heartbeat timeout in a stage if its profile or its project has one; 0 if the configuration's applies.
func (r *Rules) OwnTTL(b store.Build, stage string) time.Duration {
	if b.StageTTL > 0 && stage == b.Stage {
		return b.StageTTL
	}
	return r.timeoutsOf(b.Project).StageTTLs[build.Stage(stage)]
}

// TTL returns a build's heartbeat timeout in a stage.
func (r *Rules) TTL(b store.Build, stage string) time.Duration {
	if own := r.OwnTTL(b, stage); own > 0 {
		return own
	}
	return build.Stage(stage).TTL(r.cfg.StageTTLs)
}

// StageSeconds returns the heartbeat timeouts of a project's builds by stage.
func (r *Rules) StageSeconds(project string) map[string]int32 {
	ttls := make(map[string]int32, len(r.cfg.StageTTLs))
	for _, some := range []map[build.Stage]time.Duration{r.cfg.StageTTLs, r.timeoutsOf(project).StageTTLs} {
		for stage, d := range some {
			ttls[string(stage)] = int32(d / time.Second)
		}
	}
	return ttls
}

// Timeout returns after how long a build is killed, whatever it does.
func (r *Rules) Timeout(b store.Build) time.Duration {
	if b.Timeout > 0 {
		return b.Timeout
	}
	if own := r.timeoutsOf(b.Project).Build; own > 0 {
		return own
	}
	return r.cfg.BuildTimeout
}

// WaitAlert returns after how long of waiting an alert is due; 0 is never.
func (r *Rules) WaitAlert(project string) time.Duration {
	own := r.timeoutsOf(project).WaitAlert
	switch {
	case own < 0:
		return 0
	case own > 0:
		return own
	}
	return r.cfg.WaitAlert
}

// LeastTimeout returns the shortest build timeout of any project.
func (r *Rules) LeastTimeout() time.Duration {
	return r.least(r.cfg.BuildTimeout, func(t store.Timeouts) time.Duration { return t.Build })
}

// LeastWaitAlert returns the shortest wait alert of any project; 0 if there is none.
func (r *Rules) LeastWaitAlert() time.Duration {
	return r.least(r.cfg.WaitAlert, func(t store.Timeouts) time.Duration { return t.WaitAlert })
}

func (r *Rules) least(d time.Duration, of func(store.Timeouts) time.Duration) time.Duration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range r.timeouts {
		if own := of(t); own > 0 && (own < d || d <= 0) {
			d = own
		}
	}
	return d
}

// SetTimeouts replaces a project's timeouts. It returns build.ErrInvalid beyond the configuration's maxima.
func (r *Rules) SetTimeouts(ctx context.Context, req *schedulerv1.SetTimeoutsRequest) (*schedulerv1.SetTimeoutsResponse, error) {
	project := req.GetTimeouts().GetProject()
	t, err := r.checkTimeouts(req.GetTimeouts())
	if err != nil {
		return nil, err
	}
	err = r.machine.Store.Update(ctx, func(tx *store.Tx) error { return tx.SetTimeouts(ctx, project, t) })
	if err != nil {
		return nil, err
	}
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	return &schedulerv1.SetTimeoutsResponse{Timeouts: viewTimeouts(project, t)}, nil
}

const (
	// maxStages bounds the stages of a project with timeouts of their own.
	maxStages = 100
	// maxWaitAlert is a month, in seconds.
	maxWaitAlert = 31 * 24 * 60 * 60
)

func (r *Rules) checkTimeouts(t *schedulerv1.Timeouts) (store.Timeouts, error) {
	x := store.Timeouts{
		StageTTLs: map[build.Stage]time.Duration{},
		Build:     time.Duration(t.GetTimeoutSeconds()) * time.Second, WaitAlert: time.Duration(t.GetWaitAlertSeconds()) * time.Second,
	}
	switch {
	case t.GetProject() == "" || !build.ValidName(t.GetProject()):
		return x, fmt.Errorf("%w: project %.120q", build.ErrInvalid, t.GetProject())
	case t.GetTimeoutSeconds() < 0 || t.GetTimeoutSeconds() > int64(r.cfg.MaxBuildTimeout/time.Second):
		return x, fmt.Errorf("%w: the build timeout must be 1 s to %s (got %d s)", build.ErrInvalid, r.cfg.MaxBuildTimeout, t.GetTimeoutSeconds())
	case t.GetWaitAlertSeconds() < -1 || t.GetWaitAlertSeconds() > maxWaitAlert:
		return x, fmt.Errorf("%w: the wait alert must be -1 (never) to %d s (got %d s)", build.ErrInvalid, maxWaitAlert, t.GetWaitAlertSeconds())
	case len(t.GetStageTtlSeconds()) > maxStages:
		return x, fmt.Errorf("%w: %d stages, at most %d", build.ErrInvalid, len(t.GetStageTtlSeconds()), maxStages)
	}
	for stage, n := range t.GetStageTtlSeconds() {
		if !build.ValidID(stage) || n < 1 || time.Duration(n)*time.Second > r.cfg.MaxStageTTL {
			return x, fmt.Errorf("%w: the heartbeat timeout of stage %.80q must be 1 s to %s (got %d s)", build.ErrInvalid, stage, r.cfg.MaxStageTTL, n)
		}
		x.StageTTLs[build.Stage(stage)] = time.Duration(n) * time.Second
	}
	return x, nil
}

func viewTimeouts(project string, x store.Timeouts) *schedulerv1.Timeouts {
	t := &schedulerv1.Timeouts{
		Project: project, StageTtlSeconds: map[string]int32{}, TimeoutSeconds: int64(x.Build / time.Second),
		WaitAlertSeconds: int64(x.WaitAlert / time.Second),
	}
	for stage, d := range x.StageTTLs {
		t.StageTtlSeconds[string(stage)] = int32(d / time.Second)
	}
	return t
}

// GetTimeouts returns a project's own timeouts, and those that apply to its builds.
func (r *Rules) GetTimeouts(ctx context.Context, req *schedulerv1.GetTimeoutsRequest) (*schedulerv1.GetTimeoutsResponse, error) {
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	project := req.GetProject()
	own := r.timeoutsOf(project)
	all := store.Timeouts{StageTTLs: maps.Clone(r.cfg.StageTTLs), Build: r.Timeout(store.Build{Project: project}), WaitAlert: r.WaitAlert(project)}
	maps.Copy(all.StageTTLs, own.StageTTLs)
	return &schedulerv1.GetTimeoutsResponse{
		Own: viewTimeouts(project, own), Effective: viewTimeouts(project, all),
		MaxTimeoutSeconds: int64(r.cfg.MaxBuildTimeout / time.Second), MaxStageTtlSeconds: int32(r.cfg.MaxStageTTL / time.Second),
	}, nil
}

// ViewBuild returns a build as others see it, with its heartbeat timeout if it has another than the configuration's.
func (r *Rules) ViewBuild(b store.Build) *schedulerv1.Build {
	v, stage := view.Build(b), b.Stage
	if stage == "" {
		stage = string(build.StagePrepare)
	}
	v.StageTtlSeconds = int32(r.OwnTTL(b, stage) / time.Second)
	return v
}
