package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/order"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// refreshEvery is how long a replica may not know what another was told.
	refreshEvery = 2 * time.Second
	// MaxPriority bounds a priority, and what a rule may allow.
	MaxPriority = 100
	// maxWeight and maxRunning bound a rule.
	maxWeight  = 1000
	maxRunning = 100_000
)

// Config is what applies to projects and pools without rules of their own.
type Config struct {
	// AgeEvery is how long a build waits until its effective priority rises by one; 0 means never.
	AgeEvery time.Duration
	// MaxPriority is the highest priority that a submit may ask for.
	MaxPriority int32
	// BuildTimeout ends a build; MaxBuildTimeout and MaxStageTTL are the most that a project or profile may ask for.
	BuildTimeout, MaxBuildTimeout, MaxStageTTL time.Duration
	// StageTTLs are the heartbeat timeouts by stage.
	StageTTLs map[build.Stage]time.Duration
	// WaitAlert is after how long of waiting an alert is due; 0 is never.
	WaitAlert time.Duration
}

// Rules are those of every project and pool. Make it with New; it is safe for concurrent use.
type Rules struct {
	cfg     Config
	machine *transition.Machine

	// refreshing keeps an older reading from replacing a newer one.
	refreshing sync.Mutex

	mu       sync.RWMutex
	projects map[string]store.ProjectRule
	pools    map[string]store.PoolRule
	timeouts map[string]store.Timeouts // by project
	// order is what the dispatch rule needs of them; it is replaced, never changed.
	order order.Rules
}

// New reads the rules.
func New(ctx context.Context, cfg Config, machine *transition.Machine) (*Rules, error) {
	r := &Rules{cfg: cfg, machine: machine}
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Run picks up what other replicas were told, until ctx ends.
func (r *Rules) Run(ctx context.Context) error {
	return backoff.Loop{Doing: "read rules", Every: refreshEvery, Log: r.machine.Log}.Run(ctx, r.refresh)
}

func (r *Rules) refresh(ctx context.Context) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	read, err := r.machine.Store.Rules(ctx)
	if err != nil {
		return err
	}
	projects, pools := map[string]store.ProjectRule{}, map[string]store.PoolRule{}
	o := order.Rules{AgeEvery: r.cfg.AgeEvery, Projects: map[string]order.Project{}, Pools: map[string]order.Pool{}}
	for _, p := range read.Projects {
		projects[p.Project] = p
		o.Projects[p.Project] = order.Project{Weight: p.Weight, MaxRunning: p.MaxRunning}
	}
	for _, p := range read.Pools {
		pools[p.Pool] = p
		o.Pools[p.Pool] = order.Pool{MaxRunning: p.MaxRunning}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.projects, r.pools, r.timeouts, r.order = projects, pools, read.Timeouts, o
	return nil
}

// Project returns the rule of a project; the zero rule if it has none.
func (r *Rules) Project(name string) store.ProjectRule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.projects[name]
}

// Pool returns the rule of a pool; the zero rule if it has none.
func (r *Rules) Pool(name string) store.PoolRule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.pools[name]
}

// Order returns what the dispatch rule needs. Do not change it.
func (r *Rules) Order() order.Rules {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.order
}

// WithinLimits returns store.ErrConflict if the build's project or pool is at its limit of running builds. It locks the rule that sets
// the limit, so that schedulers that dispatch at the same moment count one after the other.
func (r *Rules) WithinLimits(ctx context.Context, tx *store.Tx, b store.Build) error {
	if r.Project(b.Project).MaxRunning > 0 {
		limit, err := tx.ProjectLimit(ctx, b.Project)
		if err == nil && limit > 0 {
			err = below(limit, func() (int64, error) { return tx.Running(ctx, b.Project, "") })
		}
		if err != nil {
			return err
		}
	}
	if r.Pool(b.Pool).MaxRunning > 0 {
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

// BoundPriority returns the priority that a submit gets and, if that is not what it asked for, a warning.
func (r *Rules) BoundPriority(project string, asked int32) (priority int32, warning string) {
	most := r.cfg.MaxPriority
	if own := r.Project(project).MaxPriority; own != nil {
		most = *own
	}
	bounded := min(max(asked, -MaxPriority), most)
	if bounded == asked {
		return asked, ""
	}
	return bounded, fmt.Sprintf("Priority %d is outside the range of project %q (%d to %d); the build has priority %d.",
		asked, project, -MaxPriority, most, bounded)
}

// withdrawBeyond takes back builds that were offered under a higher limit, the last offered first. The rule is stored by now, so no
// scheduler offers more meanwhile. Running builds continue.
func (r *Rules) withdrawBeyond(ctx context.Context, project, pool string, limit int32) error {
	if limit == 0 {
		return nil
	}
	return r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		running, err := tx.Running(ctx, project, pool)
		if err != nil || running <= int64(limit) {
			return err
		}
		offered, err := tx.Offered(ctx, project, pool, running-int64(limit))
		if err != nil {
			return err
		}
		for _, b := range offered {
			if _, err := r.machine.Withdraw(ctx, tx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// changed applies a new rule in this replica. It knows the limit before it withdraws: else it might offer again what was withdrawn.
func (r *Rules) changed(ctx context.Context, project, pool string, limit int32) error {
	if err := errors.Join(r.refresh(ctx), r.withdrawBeyond(ctx, project, pool, limit)); err != nil {
		return err
	}
	r.machine.Signal.Arrived()
	return nil
}
