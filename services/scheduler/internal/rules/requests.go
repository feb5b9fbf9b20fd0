package rules

import (
	"context"
	"errors"
	"fmt"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/order"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// SetProjectRule replaces a project's rule; one without any setting removes it.
func (r *Rules) SetProjectRule(ctx context.Context, req *schedulerv1.SetProjectRuleRequest) (*schedulerv1.SetProjectRuleResponse, error) {
	v := req.GetRule()
	rule := store.ProjectRule{
		Project: v.GetProject(), Weight: v.GetWeight(), MaxRunning: v.GetMaxRunning(), MaxPriority: v.MaxPriority, Supersede: v.GetSupersede(),
	}
	if err := checkProjectRule(rule); err != nil {
		return nil, err
	}
	err := r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		if rule == (store.ProjectRule{Project: rule.Project}) {
			return tx.DeleteProjectRule(ctx, rule.Project)
		}
		return tx.PutProjectRule(ctx, rule)
	})
	if err != nil {
		return nil, err
	}
	err = r.changed(ctx, rule.Project, "", rule.MaxRunning)
	return &schedulerv1.SetProjectRuleResponse{Rule: viewProjectRule(rule)}, err
}

func checkProjectRule(r store.ProjectRule) error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%w: "+format, append([]any{build.ErrInvalid}, args...)...))
		}
	}
	need(r.Project != "" && build.ValidName(r.Project), "project %.120q", r.Project)
	need(r.Weight >= 0 && r.Weight <= maxWeight, "weight %d (0 to %d; 0 means the default, %d)", r.Weight, maxWeight, order.DefaultWeight)
	need(r.MaxRunning >= 0 && r.MaxRunning <= maxRunning, "max_running %d (0 to %d; 0 means no limit)", r.MaxRunning, maxRunning)
	need(r.MaxPriority == nil || *r.MaxPriority >= -MaxPriority && *r.MaxPriority <= MaxPriority, "max_priority (%d to %d)", -MaxPriority, MaxPriority)
	return errors.Join(faults...)
}

// SetPoolRule replaces a pool's rule; one without any setting removes it.
func (r *Rules) SetPoolRule(ctx context.Context, req *schedulerv1.SetPoolRuleRequest) (*schedulerv1.SetPoolRuleResponse, error) {
	rule := store.PoolRule{Pool: req.GetRule().GetPool(), MaxRunning: req.GetRule().GetMaxRunning()}
	if !build.ValidID(rule.Pool) || rule.MaxRunning < 0 || rule.MaxRunning > maxRunning {
		return nil, fmt.Errorf("%w: pool %.120q, max_running %d (0 to %d; 0 means no limit)", build.ErrInvalid, rule.Pool, rule.MaxRunning, maxRunning)
	}
	err := r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		if rule.MaxRunning == 0 {
			return tx.DeletePoolRule(ctx, rule.Pool)
		}
		return tx.PutPoolRule(ctx, rule)
	})
	if err != nil {
		return nil, err
	}
	err = r.changed(ctx, "", rule.Pool, rule.MaxRunning)
	return &schedulerv1.SetPoolRuleResponse{Rule: viewPoolRule(rule)}, err
}

// ListRules returns the rules of projects and pools, and what applies to those without one.
func (r *Rules) ListRules(ctx context.Context, _ *schedulerv1.ListRulesRequest) (*schedulerv1.ListRulesResponse, error) {
	all, err := r.machine.Store.Rules(ctx)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListRulesResponse{
		DefaultWeight: order.DefaultWeight, DefaultMaxPriority: r.cfg.MaxPriority, AgeSeconds: int64(r.cfg.AgeEvery / time.Second),
	}
	for _, p := range all.Projects {
		resp.Projects = append(resp.Projects, viewProjectRule(p))
	}
	for _, p := range all.Pools {
		resp.Pools = append(resp.Pools, viewPoolRule(p))
	}
	return resp, nil
}

func viewProjectRule(r store.ProjectRule) *schedulerv1.ProjectRule {
	return &schedulerv1.ProjectRule{
		Project: r.Project, Weight: r.Weight, MaxRunning: r.MaxRunning, MaxPriority: r.MaxPriority, Supersede: r.Supersede,
	}
}

func viewPoolRule(r store.PoolRule) *schedulerv1.PoolRule {
	return &schedulerv1.PoolRule{Pool: r.Pool, MaxRunning: r.MaxRunning}
}
