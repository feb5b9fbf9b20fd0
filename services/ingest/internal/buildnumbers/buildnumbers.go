// Package buildnumbers has the operations of API v2 on the build numbers of projects, which the scheduler keeps.
package buildnumbers

import (
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
	v2 "github.com/expo-free-agent/freeagent/services/ingest/internal/v2"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

type (
	ofProject struct {
		Project string `query:"project" required:"true" description:"Name of the project."`
	}
	newBuildNumber struct {
		ofProject
		api.NewBuildNumber

		Platform string `query:"platform" required:"true" enum:"ios,android" description:"Platform of the counter."`
	}
)

// API has the handlers. All fields are required.
type API struct {
	httpapi.Responder

	Farm *farm.Farm
}

// Operations returns the operations of API v2.
func (h API) Operations() []v2.Operation {
	return []v2.Operation{
		{Scope: identity.ScopeSubmit, Handle: h.get, Operation: openapi.Operation{
			Method: http.MethodGet, Path: "/build-numbers", ID: "getBuildNumbers", Summary: "Read a project's last build numbers",
			Description: "The versionCode (Android) and buildNumber (iOS) used last. A submit takes the next one with build_number=next, or has the last one with build_number=last.",
			Request:     ofProject{}, Response: api.BuildNumbers{}, Status: http.StatusOK, Errors: []int{400},
		}},
		{Scope: identity.ScopeAdmin, Handle: h.set, Operation: openapi.Operation{
			Method: http.MethodPut, Path: "/build-numbers", ID: "setBuildNumber", Summary: "Set a project's last build number",
			Description: "Creates the counter, if the project has none for the platform. A number below the present one is refused without force.",
			Request:     newBuildNumber{}, Response: api.BuildNumber{}, Status: http.StatusOK, Errors: []int{400},
		}},
	}
}

func (h API) get(w http.ResponseWriter, r *http.Request) {
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

func (h API) set(w http.ResponseWriter, r *http.Request) {
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
