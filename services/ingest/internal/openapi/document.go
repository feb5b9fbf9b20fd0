package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Operation is one operation of the API.
type Operation struct {
	// Path is relative to api.Path.
	Method, Path             string
	ID, Summary, Description string
	// Requires is the required credential, such as "an API key of scope read".
	Requires string
	// Guarded means that the operation needs credentials.
	Guarded bool
	// Request is a struct with the tags path, query, header, formData and json; nil for none.
	Request any
	// Response is the body of a response with Status; nil means bytes of ContentType.
	Response    any
	Status      int
	ContentType string
	// Errors are the error statuses, besides those that are common to all operations.
	Errors []int
}

// Document returns the OpenAPI 3.1 document of API v2.
func Document(operations []Operation) ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("Free Agent").WithVersion(version.Version).WithDescription(
		"Build Expo and React Native apps on machines you own. Errors are RFC 9457 problems with a machine-readable code. Times are RFC 3339.")
	r.Spec.WithServers(openapi31.Server{URL: "/"})
	r.Spec.SetAPIKeySecurity("key", "X-API-Key", openapi.InHeader, "An API key. Authorization: Bearer works too.")
	r.Spec.SetAPIKeySecurity("token", "X-Build-Token", openapi.InHeader, "The access_token of one build, returned by its submit.")
	for _, o := range operations {
		if err := o.describe(r); err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", o.Method, o.Path, err)
		}
	}
	return json.MarshalIndent(r.Spec, "", "  ")
}

func (o Operation) describe(r *openapi31.Reflector) error {
	c, err := r.NewOperationContext(o.Method, api.Path+o.Path)
	if err != nil {
		return err
	}
	c.SetID(o.ID)
	c.SetSummary(o.Summary)
	description := o.Description
	if description != "" {
		description += "\n\n"
	}
	c.SetDescription(description + "Requires " + o.Requires + ".")
	if o.Request != nil {
		c.AddReqStructure(o.Request)
	}
	c.AddRespStructure(o.Response, func(u *openapi.ContentUnit) {
		u.HTTPStatus, u.ContentType, u.Description = o.Status, o.ContentType, http.StatusText(o.Status)
	})
	statuses := o.Errors
	if o.Method != http.MethodGet && o.Method != http.MethodHead && !slices.Contains(statuses, http.StatusInsufficientStorage) {
		statuses = append(slices.Clone(statuses), http.StatusInsufficientStorage) // every change needs disk space
	}
	if o.Guarded {
		c.AddSecurity("key")
		statuses = append([]int{http.StatusUnauthorized, http.StatusForbidden}, statuses...)
	}
	for _, status := range append(statuses, http.StatusServiceUnavailable) {
		c.AddRespStructure(api.Problem{}, func(u *openapi.ContentUnit) {
			u.HTTPStatus, u.ContentType, u.Description = status, "application/problem+json", http.StatusText(status)
		})
	}
	return r.AddOperation(c)
}
