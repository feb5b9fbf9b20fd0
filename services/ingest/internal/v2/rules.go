package v2

import (
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

func (h projects) rules(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.Scheduler.ListRules(r.Context(), &schedulerv1.ListRulesRequest{})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	rules := api.Rules{
		Projects: []api.ProjectRule{}, Pools: []api.PoolRule{}, DefaultWeight: resp.GetDefaultWeight(),
		DefaultMaxPriority: resp.GetDefaultMaxPriority(), AgeSeconds: resp.GetAgeSeconds(),
	}
	for _, p := range resp.GetProjects() {
		rules.Projects = append(rules.Projects, projectRule(p))
	}
	for _, p := range resp.GetPools() {
		rules.Pools = append(rules.Pools, api.PoolRule{Name: p.GetPool(), MaxRunning: p.GetMaxRunning()})
	}
	httpx.WriteJSON(w, http.StatusOK, rules)
}

func projectRule(p *schedulerv1.ProjectRule) api.ProjectRule {
	return api.ProjectRule{
		Name: p.GetProject(), Weight: p.GetWeight(), MaxRunning: p.GetMaxRunning(), MaxPriority: p.MaxPriority, Supersede: p.GetSupersede(),
	}
}

func (h projects) setProjectRule(w http.ResponseWriter, r *http.Request) {
	var in api.ProjectRule
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	resp, err := h.Farm.Scheduler.SetProjectRule(r.Context(), &schedulerv1.SetProjectRuleRequest{Rule: &schedulerv1.ProjectRule{
		Project: r.URL.Query().Get("project"), Weight: in.Weight, MaxRunning: in.MaxRunning, MaxPriority: in.MaxPriority, Supersede: in.Supersede,
	}})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.Log.InfoContext(r.Context(), "project rule set", "project", resp.GetRule().GetProject())
	httpx.WriteJSON(w, http.StatusOK, projectRule(resp.GetRule()))
}

func (h projects) setPoolRule(w http.ResponseWriter, r *http.Request) {
	var in api.PoolRule
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	resp, err := h.Farm.Scheduler.SetPoolRule(r.Context(), &schedulerv1.SetPoolRuleRequest{Rule: &schedulerv1.PoolRule{
		Pool: r.URL.Query().Get("pool"), MaxRunning: in.MaxRunning,
	}})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.Log.InfoContext(r.Context(), "pool rule set", "pool", resp.GetRule().GetPool())
	httpx.WriteJSON(w, http.StatusOK, api.PoolRule{Name: resp.GetRule().GetPool(), MaxRunning: resp.GetRule().GetMaxRunning()})
}
