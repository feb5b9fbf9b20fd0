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
		Project string `query:"project" description:"Name of the project; left out for the farm."`
	}
	newPolicy struct {
		oneScope
		api.RetentionPolicy
	}
	somePlan struct {
		Limit int `query:"limit" minimum:"1" maximum:"500" default:"20" description:"How many builds are listed at most."`
	}
	tryPolicy struct {
		somePlan
		oneScope
		api.RetentionPolicy

		Remove bool `query:"remove" description:"The policy is removed, and the body does not count."`
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
			about: "A farm without a policy keeps everything. What the last sweep did comes with them, and a notice if a policy waits to take effect.",
			who:   anyKeyOf + "read", gives: api.Retention{}, status: http.StatusOK,
		},
		{
			method: "PUT", path: "/retention", guard: admin, handle: projects{h}.setRetention, id: "setRetention", summary: "Replace a retention policy",
			about: "Nothing expires by it before effective_at, a day later by default. What has not ended, ended within the last hour or is pinned never expires. A body without limits, {}, keeps everything.",
			who:   anyKeyOf + "admin", asks: newPolicy{}, gives: api.Retention{}, status: http.StatusOK, refusals: []int{400},
		},
		{
			method: "DELETE", path: "/retention", guard: admin, handle: projects{h}.removeRetention, id: "removeRetention", summary: "Remove a retention policy",
			about: "A project gets the farm's policy, which waits as after a change; a farm without one keeps everything.",
			who:   anyKeyOf + "admin", asks: oneScope{}, gives: api.Retention{}, status: http.StatusOK, refusals: []int{400},
		},
		{
			method: "GET", path: "/retention/plan", guard: read, handle: projects{h}.planRetention, id: "planRetention", summary: "Read what would expire, and how much it frees",
			about: "As if no policy had to wait. Changes nothing.",
			who:   anyKeyOf + "read", asks: somePlan{}, gives: api.RetentionPlan{}, status: http.StatusOK, refusals: []int{400},
		},
		{
			method: "POST", path: "/retention/plan", guard: read, handle: projects{h}.tryRetention, id: "tryRetention", summary: "Read what would expire by another policy",
			about: "Changes nothing.",
			who:   anyKeyOf + "read", asks: tryPolicy{}, gives: api.RetentionPlan{}, status: http.StatusOK, refusals: []int{400},
		},
		{
			method: "PUT", path: "/builds/{id}/pin", guard: submit, handle: projects{h}.pin, id: "pinBuild", summary: "Keep a build whatever the policies say",
			about: "A build that is pinned already gets the new note.",
			who:   anyKeyOf + "submit", asks: newPin{}, gives: api.Build{}, status: http.StatusOK, refusals: []int{400, 404, 410},
		},
		{
			method: "DELETE", path: "/builds/{id}/pin", guard: submit, handle: projects{h}.unpin, id: "unpinBuild", summary: "Let a build expire again",
			who: anyKeyOf + "submit", asks: oneBuild{}, gives: api.Build{}, status: http.StatusOK, refusals: []int{404, 410},
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
