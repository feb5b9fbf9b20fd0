package retention_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// model is the rule in plain words, over builds in memory, to compare the query with.
func model(ps retention.Policies, builds []ended, pinned map[string]bool, now time.Time, minAge time.Duration) map[string]retention.Rule {
	newest := slices.Clone(builds)
	slices.SortStableFunc(newest, func(a, b ended) int { return cmp.Or(cmp.Compare(a.age, b.age), -cmp.Compare(seq(a), seq(b))) })
	rules, exempt := map[string]retention.Rule{}, map[string]bool{}
	place, upto, seen := map[string]int64{}, map[string]int64{}, map[string]bool{}
	for _, b := range newest {
		if b.state == "building" || b.state == "pending" {
			continue
		}
		p, from, exists := ps.Of(b.project)
		place[b.project]++
		upto[b.project] += b.bytes
		group := b.project + "/" + b.branch
		last := b.state == "completed" && !seen[group]
		seen[group] = seen[group] || b.state == "completed"
		kept := last && p.KeepLast && (p.KeepLastAge == 0 || b.age <= p.KeepLastAge)
		exempt[b.id] = pinned[b.id] || !exists || from.After(now) || b.age < minAge || kept
		switch {
		case exempt[b.id]:
		case p.MaxAge > 0 && b.age > p.MaxAge:
			rules[b.id] = retention.RuleAge
		case p.MaxBuilds > 0 && place[b.project] > p.MaxBuilds:
			rules[b.id] = retention.RuleCount
		case p.MaxBytes > 0 && upto[b.project] > p.MaxBytes:
			rules[b.id] = retention.RuleBytes
		}
	}
	total := int64(0)
	for _, b := range newest {
		if _, gone := rules[b.id]; gone || b.state == "building" || b.state == "pending" {
			continue
		}
		total += b.bytes
		limited := ps.Farm.FarmBytes > 0 && !ps.Farm.SetAt.IsZero() && !ps.Farm.EffectiveAt.After(now)
		if limited && total > ps.Farm.FarmBytes && !exempt[b.id] {
			rules[b.id] = retention.RuleFarmBytes
		}
	}
	return rules
}

// seq is a build's place in the order of insertion.
func seq(b ended) int {
	n := 0
	_, _ = fmt.Sscanf(b.id, "b%d", &n)
	return n
}

// TestPlanAgreesWithTheModel compares the query with the model over random farms, and checks what holds for any policy.
func TestPlanAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setup(t, open)
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 1))
		went := 0
		for round := range 60 {
			f.exec(`DELETE FROM build_pins`)
			f.exec(`DELETE FROM attempts`)
			f.exec(`DELETE FROM builds`)
			builds, pinned := randomBuilds(random)
			f.add(builds...)
			for id := range pinned {
				if err := f.Pin(t.Context(), id, retention.Pin{At: start}); err != nil {
					t.Fatal(err)
				}
			}
			ps := randomPolicies(random)
			want := model(ps, builds, pinned, start, hour)
			if diff := gocmp.Diff(want, f.plan(ps)); diff != "" {
				t.Fatalf("seed %d, round %d, policies %+v: -model +query\n%s", seed, round, ps, diff)
			}
			f.remove(want)
			if again := f.plan(ps); len(again) != 0 {
				t.Fatalf("seed %d, round %d: after a sweep the plan is %v, want nothing", seed, round, again)
			}
			went += len(want)
		}
		if went < 100 {
			t.Errorf("only %d builds expired in all: the farms try nothing", went)
		}
	})
}

func (f *farm) plan(ps retention.Policies) map[string]retention.Rule {
	f.t.Helper()
	rules := map[string]retention.Rule{}
	var last time.Time
	err := f.Plan(f.t.Context(), ps, f.clock, f.cfg.MinAge, func(c retention.Candidate) bool {
		if c.FinishedAt.Before(last) {
			f.t.Errorf("build %s is older than the one before it", c.ID)
		}
		last, rules[c.ID] = c.FinishedAt, c.Rule
		return true
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return rules
}

func (f *farm) remove(rules map[string]retention.Rule) {
	f.t.Helper()
	for id := range rules {
		f.exec(`DELETE FROM attempts WHERE build_id = $1`, id)
		f.exec(`DELETE FROM builds WHERE id = $1`, id)
	}
}

func randomBuilds(r *rand.Rand) (builds []ended, pinned map[string]bool) {
	pinned = map[string]bool{}
	states := []string{"completed", "completed", "completed", "failed", "cancelled", "building", "pending"}
	for i := range r.IntN(50) {
		b := ended{
			id: fmt.Sprintf("b%d", i), project: fmt.Sprintf("p%d", r.IntN(3)), branch: fmt.Sprintf("branch-%d", r.IntN(3)),
			state: states[r.IntN(len(states))], age: time.Duration(r.IntN(100)) * hour, bytes: int64(r.IntN(50)),
		}
		builds = append(builds, b)
		if r.IntN(10) == 0 {
			pinned[b.id] = true
		}
	}
	return builds, pinned
}

func randomPolicies(r *rand.Rand) (ps retention.Policies) {
	limit := func(n int) int64 {
		if r.IntN(2) == 0 {
			return 0
		}
		return int64(1 + r.IntN(n))
	}
	policy := func(project string) retention.Policy {
		p := retention.Policy{
			Project: project, MaxAge: time.Duration(limit(100)) * hour, MaxBuilds: limit(20), MaxBytes: limit(500), SetAt: start.Add(-day),
			EffectiveAt: start.Add(time.Duration(r.IntN(5)-4) * hour),
		}
		if r.IntN(2) == 0 {
			p.KeepLast, p.KeepLastAge = true, time.Duration(limit(100))*hour
		}
		return p
	}
	if r.IntN(4) > 0 {
		ps.Farm = policy("")
		ps.Farm.FarmBytes = limit(800)
	}
	for i := range r.IntN(3) {
		p := policy(fmt.Sprintf("p%d", i))
		p.Inherits = r.IntN(4) == 0
		ps.Projects = append(ps.Projects, p)
	}
	return ps
}
