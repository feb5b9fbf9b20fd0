package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// rulesEvery is how long a replica may not know what another was told of a rule.
	rulesEvery = 2 * time.Second
	// maxWeight, maxRunning and maxPriority bound what a rule may say.
	maxWeight   = 1000
	maxRunning  = 100_000
	maxPriority = 100
)

// rules are those of every project and pool that has one, kept in memory: every dispatch asks. It is safe for concurrent use.
type rules struct {
	ageEvery time.Duration

	mu       sync.RWMutex
	projects map[string]store.ProjectRule
	pools    map[string]store.PoolRule
	// order is what the dispatch rule needs of them; it is replaced, never changed.
	order dispatch.Rules
}

func (r *rules) project(name string) store.ProjectRule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.projects[name]
}

func (r *rules) pool(name string) store.PoolRule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.pools[name]
}

func (r *rules) dispatch() dispatch.Rules {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.order
}

func (r *rules) set(projects []store.ProjectRule, pools []store.PoolRule) {
	byProject, byPool := map[string]store.ProjectRule{}, map[string]store.PoolRule{}
	order := dispatch.Rules{AgeEvery: r.ageEvery, Projects: map[string]dispatch.Project{}, Pools: map[string]dispatch.Pool{}}
	for _, p := range projects {
		byProject[p.Project] = p
		order.Projects[p.Project] = dispatch.Project{Weight: p.Weight, MaxRunning: p.MaxRunning}
	}
	for _, p := range pools {
		byPool[p.Pool] = p
		order.Pools[p.Pool] = dispatch.Pool{MaxRunning: p.MaxRunning}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.projects, r.pools, r.order = byProject, byPool, order
}

func (s *Scheduler) readRules(ctx context.Context) error {
	projects, err := s.store.ProjectRules(ctx)
	if err != nil {
		return err
	}
	pools, err := s.store.PoolRules(ctx)
	if err != nil {
		return err
	}
	s.rules.set(projects, pools)
	return nil
}

// rulesLoop picks up rules that another replica was told.
func (s *Scheduler) rulesLoop(ctx context.Context) error {
	tick := time.NewTicker(rulesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.readRules(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "read rules failed; the last known apply", "err", err)
		}
	}
}

// withinLimits returns store.ErrConflict if the build's project or pool is at its limit of running builds. It locks the rule that sets
// the limit, so that schedulers that dispatch at the same moment count one after the other.
func (s *Scheduler) withinLimits(ctx context.Context, tx *store.Tx, b store.Build) error {
	if s.rules.project(b.Project).MaxRunning > 0 {
		limit, err := tx.ProjectLimit(ctx, b.Project)
		if err == nil && limit > 0 {
			err = below(limit, func() (int64, error) { return tx.Running(ctx, b.Project, "") })
		}
		if err != nil {
			return err
		}
	}
	if s.rules.pool(b.Pool).MaxRunning > 0 {
		limit, err := tx.PoolLimit(ctx, b.Pool)
		if err == nil && limit > 0 {
			err = below(limit, func() (int64, error) { return tx.Running(ctx, "", b.Pool) })
		}
		return err
	}
	return nil
}

func below(limit int32, running func() (int64, error)) error {
	n, err := running()
	if err == nil && n >= int64(limit) {
		err = store.ErrConflict
	}
	return err
}

// boundPriority returns the priority that a submit gets and, if that is not what it asked for, a warning that says so.
func (s *Scheduler) boundPriority(project string, asked int32) (int32, string) {
	most := s.cfg.MaxPriority
	if own := s.rules.project(project).MaxPriority; own != nil {
		most = *own
	}
	bounded := min(max(asked, -maxPriority), most)
	if bounded == asked {
		return asked, ""
	}
	return bounded, fmt.Sprintf("Priority %d is outside the range of project %q (%d to %d); the build has priority %d.",
		asked, project, -maxPriority, most, bounded)
}

// SetProjectRule replaces a project's rule; one without any setting removes it.
func (s *Scheduler) SetProjectRule(ctx context.Context, r *schedulerv1.SetProjectRuleRequest) (*schedulerv1.SetProjectRuleResponse, error) {
	v := r.GetRule()
	rule := store.ProjectRule{
		Project: v.GetProject(), Weight: v.GetWeight(), MaxRunning: v.GetMaxRunning(), MaxPriority: v.MaxPriority, Supersede: v.GetSupersede(),
	}
	if err := checkProjectRule(rule); err != nil {
		return nil, err
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if rule == (store.ProjectRule{Project: rule.Project}) {
			return tx.DeleteProjectRule(ctx, rule.Project)
		}
		return tx.PutProjectRule(ctx, rule)
	})
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.withdrawBeyond(ctx, rule.Project, "", rule.MaxRunning), s.rulesChanged(ctx))
	return &schedulerv1.SetProjectRuleResponse{Rule: viewProjectRule(rule)}, err
}

// withdrawBeyond takes back builds that were offered under a higher limit, the last offered first. The rule is stored by now, so no
// scheduler offers more meanwhile. Builds that run go on.
func (s *Scheduler) withdrawBeyond(ctx context.Context, project, pool string, limit int32) error {
	if limit == 0 {
		return nil
	}
	return s.store.Update(ctx, func(tx *store.Tx) error {
		running, err := tx.Running(ctx, project, pool)
		if err != nil || running <= int64(limit) {
			return err
		}
		offered, err := tx.Offered(ctx, project, pool, running-int64(limit))
		if err != nil {
			return err
		}
		for _, b := range offered {
			_, err := s.step(ctx, tx, b, build.Withdraw, func(c *change) error {
				c.now.QueuedAt, c.now.OfferedAt = time.Time{}, time.Time{}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func checkProjectRule(r store.ProjectRule) error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%w: "+format, append([]any{build.ErrInvalid}, args...)...))
		}
	}
	need(r.Project != "" && nameRule.MatchString(r.Project), "project %.120q", r.Project)
	need(r.Weight >= 0 && r.Weight <= maxWeight, "weight %d (0 to %d; 0 means the default, %d)", r.Weight, maxWeight, dispatch.DefaultWeight)
	need(r.MaxRunning >= 0 && r.MaxRunning <= maxRunning, "max_running %d (0 to %d; 0 means no limit)", r.MaxRunning, maxRunning)
	need(r.MaxPriority == nil || *r.MaxPriority >= -maxPriority && *r.MaxPriority <= maxPriority, "max_priority (%d to %d)", -maxPriority, maxPriority)
	return errors.Join(faults...)
}

// SetPoolRule replaces a pool's rule; one without any setting removes it.
func (s *Scheduler) SetPoolRule(ctx context.Context, r *schedulerv1.SetPoolRuleRequest) (*schedulerv1.SetPoolRuleResponse, error) {
	rule := store.PoolRule{Pool: r.GetRule().GetPool(), MaxRunning: r.GetRule().GetMaxRunning()}
	if !build.ValidID(rule.Pool) || rule.MaxRunning < 0 || rule.MaxRunning > maxRunning {
		return nil, fmt.Errorf("%w: pool %.120q, max_running %d (0 to %d; 0 means no limit)", build.ErrInvalid, rule.Pool, rule.MaxRunning, maxRunning)
	}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if rule.MaxRunning == 0 {
			return tx.DeletePoolRule(ctx, rule.Pool)
		}
		return tx.PutPoolRule(ctx, rule)
	})
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.withdrawBeyond(ctx, "", rule.Pool, rule.MaxRunning), s.rulesChanged(ctx))
	return &schedulerv1.SetPoolRuleResponse{Rule: viewPoolRule(rule)}, err
}

// rulesChanged applies a new rule here at once; other replicas follow within rulesEvery.
func (s *Scheduler) rulesChanged(ctx context.Context) error {
	if err := s.readRules(ctx); err != nil {
		return err
	}
	s.returned()
	return nil
}

// ListRules returns the rules of projects and pools, and what applies to those without one.
func (s *Scheduler) ListRules(ctx context.Context, _ *schedulerv1.ListRulesRequest) (*schedulerv1.ListRulesResponse, error) {
	projects, err := s.store.ProjectRules(ctx)
	if err != nil {
		return nil, err
	}
	pools, err := s.store.PoolRules(ctx)
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ListRulesResponse{
		DefaultWeight: dispatch.DefaultWeight, DefaultMaxPriority: s.cfg.MaxPriority, AgeSeconds: int64(s.cfg.AgeEvery / time.Second),
	}
	for _, r := range projects {
		resp.Projects = append(resp.Projects, viewProjectRule(r))
	}
	for _, r := range pools {
		resp.Pools = append(resp.Pools, viewPoolRule(r))
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
