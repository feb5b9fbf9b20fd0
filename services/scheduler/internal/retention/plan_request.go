package retention

import (
	"cmp"
	"context"
	"slices"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

const (
	// defaultListed and maxListed are how many builds a plan names.
	defaultListed = 20
	maxListed     = 500
	// measureBatch is how many builds one request to the artifact service measures, measureTime how long a plan asks in all:
	// then it uses what the scheduler knows.
	measureBatch = 500
	measureTime  = 5 * time.Second
	// maxPlannedProjects bounds the projects that an answer names, those that free most.
	maxPlannedProjects = 500
)

// planned gathers an answer.
type planned struct {
	*schedulerv1.PlanRetentionResponse

	s        *Service
	listed   int
	projects map[string]*schedulerv1.PlannedProject
	// unmeasured are the latest builds, own is what the scheduler knows to be theirs.
	unmeasured []string
	own        int64
	deadline   time.Time
}

// PlanRetention returns what would expire now if no policy had to wait.
func (s *Service) PlanRetention(ctx context.Context, r *schedulerv1.PlanRetentionRequest) (*schedulerv1.PlanRetentionResponse, error) {
	ps, err := s.store.Policies(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	begins := ps.Pending(now)
	if r.GetChange() != nil {
		p, err := s.policyOf(r.GetChange())
		if err != nil {
			return nil, err
		}
		p.SetAt, begins = now, now.Add(s.cfg.Notice)
		ps = ps.With(p, r.GetChange().GetRemove())
	}
	plan := &planned{
		PlanRetentionResponse: &schedulerv1.PlanRetentionResponse{BeginsAtMs: store.Millis(begins)}, s: s, projects: map[string]*schedulerv1.PlannedProject{},
		listed: int(cmp.Or(r.GetLimit(), defaultListed)), deadline: time.Now().Add(measureTime),
	}
	plan.listed = min(max(plan.listed, 0), maxListed)
	err = s.store.Plan(ctx, ps.Now(), now, s.cfg.MinAge, func(c Candidate) bool { return plan.add(ctx, c) })
	if err != nil {
		return nil, err
	}
	plan.measure(ctx)
	if age := ps.Farm.WorkerAge; age > 0 {
		if plan.Workers, err = s.store.CountAbsent(ctx, now.Add(-age)); err != nil {
			return nil, err
		}
	}
	return plan.finish(), nil
}

func (p *planned) add(ctx context.Context, c Candidate) bool {
	p.PlanRetentionResponse.Builds++
	if len(p.Oldest) < p.listed {
		p.Oldest = append(p.Oldest, &schedulerv1.PlannedBuild{
			Id: c.ID, Project: c.Project, State: c.State, FinishedAtMs: store.Millis(c.FinishedAt), Bytes: c.Bytes, Rule: string(c.Rule),
		})
	}
	one := p.projects[c.Project]
	if one == nil {
		one = &schedulerv1.PlannedProject{Project: c.Project}
		p.projects[c.Project] = one
	}
	one.Builds, one.Bytes = one.GetBuilds()+1, one.GetBytes()+c.Bytes
	p.unmeasured, p.own = append(p.unmeasured, c.ID), p.own+c.Bytes
	if len(p.unmeasured) >= measureBatch {
		p.measure(ctx)
	}
	return ctx.Err() == nil
}

// measure asks how much is stored for the latest builds. If nobody answers, what the scheduler knows has to do.
func (p *planned) measure(ctx context.Context) {
	if len(p.unmeasured) == 0 {
		return
	}
	bytes := p.own
	if p.Estimated = p.Estimated || time.Now().After(p.deadline); !p.Estimated {
		ctx, cancel := context.WithDeadline(ctx, p.deadline)
		defer cancel()
		stored, err := p.s.neighbors.Measure(ctx, p.unmeasured)
		if err != nil {
			p.Estimated = true
			p.s.log.InfoContext(ctx, "retention plan estimated", "err", err)
		} else {
			bytes = stored
		}
	}
	p.PlanRetentionResponse.Bytes += bytes
	p.unmeasured, p.own = nil, 0
}

func (p *planned) finish() *schedulerv1.PlanRetentionResponse {
	for _, one := range p.projects {
		p.Projects = append(p.Projects, one)
	}
	slices.SortFunc(p.Projects, func(a, b *schedulerv1.PlannedProject) int {
		return cmp.Or(-cmp.Compare(a.GetBytes(), b.GetBytes()), cmp.Compare(a.GetProject(), b.GetProject()))
	})
	p.Projects = p.Projects[:min(len(p.Projects), maxPlannedProjects)]
	return p.PlanRetentionResponse
}
