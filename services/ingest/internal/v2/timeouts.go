package v2

import (
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

func (h projects) timeouts(w http.ResponseWriter, r *http.Request) {
	req := &schedulerv1.GetTimeoutsRequest{Project: r.URL.Query().Get("project")}
	resp, err := h.Farm.Scheduler.GetTimeouts(r.Context(), req)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, api.ProjectTimeouts{
		Project: req.GetProject(), Own: timeoutsOf(resp.GetOwn()), Effective: timeoutsOf(resp.GetEffective()),
		MaxBuildSeconds: resp.GetMaxTimeoutSeconds(), MaxSilenceSeconds: resp.GetMaxStageTtlSeconds(),
	})
}

func timeoutsOf(t *schedulerv1.Timeouts) api.Timeouts {
	return api.Timeouts{
		SilenceSeconds: t.GetStageTtlSeconds(), BuildSeconds: t.GetTimeoutSeconds(), WaitAlertSeconds: t.GetWaitAlertSeconds(),
	}
}

func (h projects) setTimeouts(w http.ResponseWriter, r *http.Request) {
	var in api.Timeouts
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	project := r.URL.Query().Get("project")
	_, err := h.Farm.Scheduler.SetTimeouts(r.Context(), &schedulerv1.SetTimeoutsRequest{Timeouts: &schedulerv1.Timeouts{
		Project: project, StageTtlSeconds: in.SilenceSeconds, TimeoutSeconds: in.BuildSeconds, WaitAlertSeconds: in.WaitAlertSeconds,
	}})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.Log.InfoContext(r.Context(), "timeouts set", "project", project)
	h.timeouts(w, r)
}
