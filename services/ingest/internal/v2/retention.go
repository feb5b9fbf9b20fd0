package v2

import (
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

type (
	oneScope struct {
		Project string `query:"project" description:"Name of the project (default: the whole farm)."`
	}
	newPolicy struct {
		oneScope
		api.RetentionPolicy
	}
	somePlan struct {
		Limit int `query:"limit" minimum:"1" maximum:"500" default:"20" description:"Maximum number of builds to list."`
	}
	tryPolicy struct {
		somePlan
		oneScope
		api.RetentionPolicy

		Remove bool `query:"remove" description:"Plan the removal of the policy; the body is ignored."`
	}
	newPin struct {
		oneBuild
		api.NewPin
	}
)

func (h *API) retentionOperations() []operation {
	read, submit, admin := h.Auth.RequireKey(httpapi.V2, identity.ScopeRead), h.Auth.RequireKey(httpapi.V2, identity.ScopeSubmit), h.Auth.RequireKey(httpapi.V2, identity.ScopeAdmin)
	return []operation{
		{
			method: "GET", path: "/retention", guard: read, handle: projects{h}.retention, id: "getRetention", summary: "Read the retention policies",
			description: "A farm without a policy keeps everything. The response includes the result of the last sweep, and a notice if a policy has yet to take effect.",
			requires:    anyKeyOf + "read", response: api.Retention{}, status: http.StatusOK,
		},
		{
			method: "PUT", path: "/retention", guard: admin, handle: projects{h}.setRetention, id: "setRetention", summary: "Replace a retention policy",
			description: "The policy takes effect at effective_at, by default one day later. Builds never expire if they are unfinished, ended within the last hour, or are pinned. A body without limits, {}, keeps everything.",
			requires:    anyKeyOf + "admin", request: newPolicy{}, response: api.Retention{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "DELETE", path: "/retention", guard: admin, handle: projects{h}.removeRetention, id: "removeRetention", summary: "Remove a retention policy",
			description: "The farm's policy then applies to the project, after the same delay as a change. A farm without a policy keeps everything.",
			requires:    anyKeyOf + "admin", request: oneScope{}, response: api.Retention{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "GET", path: "/retention/plan", guard: read, handle: projects{h}.planRetention, id: "planRetention", summary: "List builds that would expire",
			description: "Ignores the delay of policies. Changes nothing.",
			requires:    anyKeyOf + "read", request: somePlan{}, response: api.RetentionPlan{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "POST", path: "/retention/plan", guard: read, handle: projects{h}.tryRetention, id: "tryRetention", summary: "Preview a retention policy",
			description: "Changes nothing.",
			requires:    anyKeyOf + "read", request: tryPolicy{}, response: api.RetentionPlan{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "PUT", path: "/builds/{id}/pin", guard: submit, handle: projects{h}.pin, id: "pinBuild", summary: "Keep a build from expiring",
			description: "Replaces the note of a pinned build.",
			requires:    anyKeyOf + "submit", request: newPin{}, response: api.Build{}, status: http.StatusOK, errors: []int{400, 404, 410},
		},
		{
			method: "DELETE", path: "/builds/{id}/pin", guard: submit, handle: projects{h}.unpin, id: "unpinBuild", summary: "Let a build expire again",
			requires: anyKeyOf + "submit", request: oneBuild{}, response: api.Build{}, status: http.StatusOK, errors: []int{404, 410},
		},
	}
}

func (h projects) retention(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.Scheduler.GetRetention(r.Context(), &schedulerv1.GetRetentionRequest{})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, viewRetention(resp))
}

func viewRetention(resp *schedulerv1.GetRetentionResponse) api.Retention {
	v := api.Retention{
		Projects: []api.SetPolicy{}, Expired: resp.GetExpired(), Cleaning: resp.GetCleaning(), TraceSeconds: resp.GetTraceSeconds(),
		Pinned: resp.GetPinned(), NoticeSeconds: resp.GetNoticeSeconds(), Notice: resp.GetNotice(),
	}
	if p := resp.GetFarm(); p != nil {
		farm := viewPolicy(p)
		v.Farm = &farm
	}
	for _, p := range resp.GetProjects() {
		v.Projects = append(v.Projects, viewPolicy(p))
	}
	if s := resp.GetLastSweep(); s.GetBeganAtMs() > 0 {
		v.LastSweep = &api.RetentionSweep{
			BeganAt: httpapi.Time(s.GetBeganAtMs()), EndedAt: httpapi.Time(s.GetEndedAtMs()), Builds: s.GetBuilds(), Bytes: s.GetBytes(),
			Workers: s.GetWorkers(), Error: s.GetError(),
		}
	}
	return v
}

func viewPolicy(p *schedulerv1.RetentionPolicy) api.SetPolicy {
	return api.SetPolicy{
		Project: p.GetProject(), SetAt: httpapi.Time(p.GetSetAtMs()), EffectiveAt: httpapi.Time(p.GetEffectiveAtMs()),
		RetentionPolicy: api.RetentionPolicy{
			MaxAgeSeconds: p.GetMaxAgeSeconds(), MaxBuilds: p.GetMaxBuilds(), MaxBytes: p.GetMaxBytes(), FarmBytes: p.GetFarmBytes(),
			KeepLastSuccessful: p.GetKeepLastSuccessful(), KeepLastSeconds: p.GetKeepLastSeconds(), WorkerAgeSeconds: p.GetWorkerAgeSeconds(),
		},
	}
}

func policyOf(project string, p api.RetentionPolicy) *schedulerv1.RetentionPolicy {
	return &schedulerv1.RetentionPolicy{
		Project: project, MaxAgeSeconds: p.MaxAgeSeconds, MaxBuilds: p.MaxBuilds, MaxBytes: p.MaxBytes, FarmBytes: p.FarmBytes,
		KeepLastSuccessful: p.KeepLastSuccessful, KeepLastSeconds: p.KeepLastSeconds, WorkerAgeSeconds: p.WorkerAgeSeconds,
	}
}

func (h projects) setRetention(w http.ResponseWriter, r *http.Request) {
	var in api.RetentionPolicy
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.changeRetention(w, r, &schedulerv1.SetRetentionRequest{Policy: policyOf(r.URL.Query().Get("project"), in)})
}

func (h projects) removeRetention(w http.ResponseWriter, r *http.Request) {
	h.changeRetention(w, r, &schedulerv1.SetRetentionRequest{
		Policy: &schedulerv1.RetentionPolicy{Project: r.URL.Query().Get("project")}, Remove: true,
	})
}

func (h projects) changeRetention(w http.ResponseWriter, r *http.Request, req *schedulerv1.SetRetentionRequest) {
	if _, err := h.Farm.Scheduler.SetRetention(r.Context(), req); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.Log.InfoContext(r.Context(), "retention policy changed", "project", req.GetPolicy().GetProject(), "removed", req.GetRemove())
	h.retention(w, r)
}

func (h projects) planRetention(w http.ResponseWriter, r *http.Request) {
	h.sendPlan(w, r, &schedulerv1.PlanRetentionRequest{})
}

func (h projects) tryRetention(w http.ResponseWriter, r *http.Request) {
	var in api.RetentionPolicy
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	q := r.URL.Query()
	remove := false
	if text := q.Get("remove"); text != "" {
		var err error
		if remove, err = strconv.ParseBool(text); err != nil {
			h.Fail(w, r, httpapi.V2, httpx.Refuse(build.ErrInvalid, "Remove must be true or false (got %.20q)", text))
			return
		}
	}
	h.sendPlan(w, r, &schedulerv1.PlanRetentionRequest{
		Change: &schedulerv1.SetRetentionRequest{Policy: policyOf(q.Get("project"), in), Remove: remove},
	})
}

// maxPlanned bounds the builds that a plan lists.
const maxPlanned = 500

func (h projects) sendPlan(w http.ResponseWriter, r *http.Request, req *schedulerv1.PlanRetentionRequest) {
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 || n > maxPlanned {
			h.Fail(w, r, httpapi.V2, httpx.Refuse(build.ErrInvalid, "Limit must be 1 to %d (got %.20q)", maxPlanned, text))
			return
		}
		req.Limit = int32(n)
	}
	resp, err := h.Farm.Scheduler.PlanRetention(r.Context(), req)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	v := api.RetentionPlan{
		Builds: resp.GetBuilds(), Bytes: resp.GetBytes(), Estimated: resp.GetEstimated(), Workers: resp.GetWorkers(),
		Projects: []api.PlannedProject{}, Oldest: []api.PlannedBuild{}, BeginsAt: httpapi.Time(resp.GetBeginsAtMs()),
	}
	for _, p := range resp.GetProjects() {
		v.Projects = append(v.Projects, api.PlannedProject{Project: p.GetProject(), Builds: p.GetBuilds(), Bytes: p.GetBytes()})
	}
	for _, b := range resp.GetOldest() {
		v.Oldest = append(v.Oldest, api.PlannedBuild{
			ID: b.GetId(), Project: b.GetProject(), Status: b.GetState(), FinishedAt: httpapi.Time(b.GetFinishedAtMs()), Bytes: b.GetBytes(), Rule: b.GetRule(),
		})
	}
	httpx.WriteJSON(w, http.StatusOK, v)
}

func (h projects) pin(w http.ResponseWriter, r *http.Request) {
	var in api.NewPin
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.setPin(w, r, &schedulerv1.PinBuildRequest{BuildId: chi.URLParam(r, "id"), Note: in.Note})
}

func (h projects) unpin(w http.ResponseWriter, r *http.Request) {
	h.setPin(w, r, &schedulerv1.PinBuildRequest{BuildId: chi.URLParam(r, "id"), Unpin: true})
}

func (h projects) setPin(w http.ResponseWriter, r *http.Request, req *schedulerv1.PinBuildRequest) {
	id := req.GetBuildId()
	err := farm.UnknownBuild(id)
	if build.ValidID(id) {
		_, err = h.Farm.Scheduler.PinBuild(r.Context(), req)
	}
	if err != nil {
		h.Fail(w, r, httpapi.V2, h.Farm.OrExpired(r.Context(), id, err))
		return
	}
	builds(h).get(w, r)
}

func viewPin(p *schedulerv1.Pin) *api.Pin {
	if p == nil {
		return nil
	}
	return &api.Pin{PinnedAt: httpapi.Time(p.GetPinnedAtMs()), Note: p.GetNote()}
}
