package api

import (
	"context"
	"net/http"
	"net/url"
)

// Variable is a variable of a project in one environment.
type Variable struct {
	Name        string `json:"name"`
	Environment string `json:"environment"`
	// Visibility of the value: plain, sensitive or secret.
	Visibility string `json:"visibility"`
	// Value of a plain variable; no response has the others.
	Value string `json:"value,omitempty"`
	// UpdatedAt is when the value was set, in RFC 3339.
	UpdatedAt string `json:"updated_at,omitempty" format:"date-time"`
}

// VariableList is a project's variables by name, then environment: GET /variables?project=NAME.
type VariableList struct {
	Variables []Variable `json:"variables"`
}

// NewVariable is a variable to set: PUT /variables?project=NAME.
type NewVariable struct {
	Name         string   `json:"name" required:"true" maxLength:"255" pattern:"^[A-Za-z_][A-Za-z0-9_]*$"`
	Environments []string `json:"environments" required:"true" minItems:"1" maxItems:"20"`
	Visibility   string   `json:"visibility,omitempty" enum:"plain,sensitive,secret" default:"sensitive"`
	// Value of at most 32 KiB.
	Value string `json:"value" required:"true" minLength:"1"`
}

// UnsetVariable says where a variable was that has been removed.
type UnsetVariable struct {
	Environments []string `json:"environments"`
}

// VariablesService lists and sets the variables of projects, which builds get by environment.
type VariablesService struct{ conn *conn }

// List returns the variables of a project in an environment, or in all of them if it is empty.
func (s *VariablesService) List(ctx context.Context, project, environment string) (l VariableList, err error) {
	err = s.conn.call(ctx, http.MethodGet, variablesPath(project, "environment", environment), nil, &l)
	return l, err
}

// Set sets a variable in one or more environments. It is build.ErrInvalid or build.ErrTooLarge for one that cannot be.
func (s *VariablesService) Set(ctx context.Context, project string, v NewVariable) (l VariableList, err error) {
	err = s.conn.call(ctx, http.MethodPut, variablesPath(project), v, &l)
	return l, err
}

// Unset removes a variable from environments. It is no error if it is not there.
func (s *VariablesService) Unset(ctx context.Context, project, name string, environments []string) (u UnsetVariable, err error) {
	query := []string{"name", name}
	for _, e := range environments {
		query = append(query, "environment", e)
	}
	err = s.conn.call(ctx, http.MethodDelete, variablesPath(project, query...), nil, &u)
	return u, err
}

// variablesPath returns the path with a query; pairs are keys and values, and empty values are left out.
func variablesPath(project string, pairs ...string) string {
	query := url.Values{"project": {project}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Add(pairs[i], pairs[i+1])
		}
	}
	return Path + "/variables?" + query.Encode()
}
