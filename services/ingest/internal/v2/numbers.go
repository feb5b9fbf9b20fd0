package v2

import (
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// numbers serves the build numbers of projects.
type numbers struct{ *API }

type newBuildNumber struct {
	oneProject
	api.NewBuildNumber

	Platform string `query:"platform" required:"true" enum:"ios,android" description:"Platform of the counter."`
}

func (h numbers) operations() []operation {
	return []operation{
		{
			method: "GET", path: "/build-numbers", guard: h.Auth.RequireKey(httpapi.V2, identity.ScopeSubmit), handle: h.get,
			id: "getBuildNumbers", summary: "Read a project's last build numbers",
			description: "The versionCode (Android) and buildNumber (iOS) used last. A submit takes the next one with build_number=next, or has the last one with build_number=last.",
			requires:    anyKeyOf + "submit", request: oneProject{}, response: api.BuildNumbers{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "PUT", path: "/build-numbers", guard: h.Auth.RequireKey(httpapi.V2, identity.ScopeAdmin), handle: h.set,
			id: "setBuildNumber", summary: "Set a project's last build number",
			description: "Creates the counter, if the project has none for the platform. A number below the present one is refused without force.",
			requires:    anyKeyOf + "admin", request: newBuildNumber{}, response: api.BuildNumber{}, status: http.StatusOK, errors: []int{400},
		},
	}
}

func (h numbers) get(w http.ResponseWriter, r *http.Request) {
	project := r.URL.Query().Get("project")
	resp, err := h.Farm.Scheduler.GetBuildNumbers(r.Context(), &schedulerv1.GetBuildNumbersRequest{Project: project})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	out := api.BuildNumbers{Project: project, Numbers: []api.BuildNumber{}}
	for _, n := range resp.GetNumbers() {
		out.Numbers = append(out.Numbers, viewNumber(n))
	}
	httpx.WriteJSON(w, http.StatusOK, out)
}

func viewNumber(n *schedulerv1.BuildNumber) api.BuildNumber {
	return api.BuildNumber{Platform: n.GetPlatform(), Last: n.GetLast(), ChangedAt: httpapi.Time(n.GetChangedAtMs())}
}

func (h numbers) set(w http.ResponseWriter, r *http.Request) {
	var in api.NewBuildNumber
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	resp, err := h.Farm.Scheduler.SetBuildNumber(r.Context(), &schedulerv1.SetBuildNumberRequest{
		Project: r.URL.Query().Get("project"), Platform: r.URL.Query().Get("platform"), Last: in.Last, Force: in.Force,
	})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, viewNumber(resp.GetNumber()))
}
