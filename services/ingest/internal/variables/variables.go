// Package variables has the operations of API v2 on the variables of projects, which the artifact service keeps. Values go to it sealed.
package variables

import (
	"cmp"
	"net/http"
	"strings"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
	v2 "github.com/expo-free-agent/freeagent/services/ingest/internal/v2"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

type (
	ofProject struct {
		Project string `query:"project" required:"true" description:"Name of the project."`
	}
	someVariables struct {
		ofProject

		Environment string `query:"environment" description:"Only variables of this environment."`
	}
	newVariable struct {
		ofProject
		api.NewVariable
	}
	oneVariable struct {
		ofProject

		Name         string   `query:"name" required:"true" description:"Name of the variable."`
		Environments []string `query:"environment" required:"true" collectionFormat:"multi" description:"Environments to remove it from."`
	}
)

// API has the handlers. All fields are required.
type API struct {
	httpapi.Responder

	Farm *farm.Farm
}

// Operations returns the operations of API v2.
func (a API) Operations() []v2.Operation {
	return []v2.Operation{
		{Scope: identity.ScopeAdmin, Handle: a.list, Operation: openapi.Operation{
			Method: http.MethodGet, Path: "/variables", ID: "listVariables", Summary: "List a project's variables",
			Description: "By name, then environment. Only plain variables have a value.",
			Request:     someVariables{}, Response: api.VariableList{}, Status: http.StatusOK, Errors: []int{400},
		}},
		{Scope: identity.ScopeAdmin, Handle: a.set, Operation: openapi.Operation{
			Method: http.MethodPut, Path: "/variables", ID: "setVariable", Summary: "Set a variable of a project",
			Description: "Replaces the value in each of the environments; others keep theirs. Builds that start from now on see it. The response has no value. A project has at most 500 variables with 512 KiB of values in all of its environments.",
			Request:     newVariable{}, Response: api.VariableList{}, Status: http.StatusOK, Errors: []int{400, 413},
		}},
		{Scope: identity.ScopeAdmin, Handle: a.unset, Operation: openapi.Operation{
			Method: http.MethodDelete, Path: "/variables", ID: "unsetVariable", Summary: "Remove a variable of a project",
			Description: "The response lists the environments that had it.",
			Request:     oneVariable{}, Response: api.UnsetVariable{}, Status: http.StatusOK, Errors: []int{400},
		}},
	}
}

func (a API) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	resp, err := a.Farm.Artifact.ListVariables(r.Context(), &artifactv1.ListVariablesRequest{
		Project: q.Get("project"), Environment: q.Get("environment"),
	})
	if err != nil {
		a.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, view(resp.GetVariables()))
}

func (a API) set(w http.ResponseWriter, r *http.Request) {
	list, err := a.store(w, r)
	if err != nil {
		a.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, list)
}

func (a API) store(w http.ResponseWriter, r *http.Request) (list api.VariableList, err error) {
	var in api.NewVariable
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		return list, err
	}
	visibility, err := build.ParseVisibility(cmp.Or(in.Visibility, string(build.Sensitive)))
	if err == nil { // here too, since a value that is too large does not fit into a message
		err = build.CheckVariableValue(in.Name, in.Value)
	}
	if err != nil {
		return list, err
	}
	project := r.URL.Query().Get("project")
	key, err := a.Farm.Artifact.VariableKey(r.Context(), &artifactv1.VariableKeyRequest{})
	if err != nil {
		return list, err
	}
	sealed, err := sealedbox.Seal(key.GetPublicKey(), []byte(in.Value), sealedbox.AboutSet(project, in.Name)...)
	if err != nil {
		return list, err
	}
	resp, err := a.Farm.Artifact.SetVariable(r.Context(), &artifactv1.SetVariableRequest{
		Project: project, Environments: in.Environments, Name: in.Name, Visibility: visibilities()[visibility], SealedValue: sealed,
	})
	return view(resp.GetVariables()), err
}

func (a API) unset(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	resp, err := a.Farm.Artifact.UnsetVariable(r.Context(), &artifactv1.UnsetVariableRequest{
		Project: q.Get("project"), Name: q.Get("name"), Environments: q["environment"],
	})
	if err != nil {
		a.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, api.UnsetVariable{Environments: append([]string{}, resp.GetEnvironments()...)})
}

func view(all []*artifactv1.Variable) api.VariableList {
	list := api.VariableList{Variables: make([]api.Variable, len(all))}
	for i, v := range all {
		list.Variables[i] = api.Variable{
			Name: v.GetName(), Environment: v.GetEnvironment(), Value: v.GetValue(), UpdatedAt: httpapi.Time(v.GetUpdatedAtMs()),
			Visibility: strings.ToLower(strings.TrimPrefix(v.GetVisibility().String(), "VISIBILITY_")),
		}
	}
	return list
}

func visibilities() map[build.Visibility]artifactv1.Visibility {
	return map[build.Visibility]artifactv1.Visibility{
		build.Plain: artifactv1.Visibility_VISIBILITY_PLAIN, build.Sensitive: artifactv1.Visibility_VISIBILITY_SENSITIVE,
		build.Secret: artifactv1.Visibility_VISIBILITY_SECRET,
	}
}
