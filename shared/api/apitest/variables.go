package apitest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func (s variables) routes(mux *http.ServeMux) {
	const path = api.Path + "/variables"
	mux.HandleFunc("GET "+path, key(s.list))
	mux.HandleFunc("PUT "+path, key(s.set))
	mux.HandleFunc("DELETE "+path, key(s.unset))
}

// Values returns the values of a project's variables by environment and name, joined by a slash, whatever their visibility.
func (s *state) Values(project string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := map[string]string{}
	for _, v := range s.variables[project] {
		values[v.Environment+"/"+v.Name] = v.Value
	}
	return values
}

func (s variables) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := api.VariableList{Variables: []api.Variable{}}
	for _, v := range s.variables[r.URL.Query().Get("project")] {
		if e := r.URL.Query().Get("environment"); e != "" && e != v.Environment {
			continue
		}
		if v.Visibility != string(build.Plain) {
			v.Value = ""
		}
		list.Variables = append(list.Variables, v)
	}
	answer(w, http.StatusOK, list)
}

func (s variables) set(w http.ResponseWriter, r *http.Request) {
	var in api.NewVariable
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "" || len(in.Environments) == 0 || in.Value == "" {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The variable lacks a name, an environment or a value")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	project := r.URL.Query().Get("project")
	list := api.VariableList{}
	for _, e := range in.Environments {
		v := api.Variable{
			Name: in.Name, Environment: e, Visibility: cmp.Or(in.Visibility, string(build.Sensitive)), UpdatedAt: time.Now().UTC().Format(time.RFC3339),
		}
		list.Variables = append(list.Variables, v)
		v.Value = in.Value
		s.remove(project, in.Name, e)
		s.state.variables[project] = append(s.state.variables[project], v)
	}
	slices.SortFunc(s.state.variables[project], func(a, b api.Variable) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Environment, b.Environment))
	})
	answer(w, http.StatusOK, list)
}

func (s variables) unset(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	had := api.UnsetVariable{Environments: []string{}}
	for _, e := range q["environment"] {
		if s.remove(q.Get("project"), q.Get("name"), e) {
			had.Environments = append(had.Environments, e)
		}
	}
	answer(w, http.StatusOK, had)
}

// remove is called with the lock held.
func (s variables) remove(project, name, environment string) bool {
	before := len(s.state.variables[project])
	s.state.variables[project] = slices.DeleteFunc(s.state.variables[project], func(v api.Variable) bool {
		return v.Name == name && v.Environment == environment
	})
	return len(s.state.variables[project]) < before
}
