package v2

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Operation is an operation of another package.
type Operation struct {
	// Operation describes it; Requires and Guarded follow from Scope.
	openapi.Operation

	// Scope is that of the API key that it needs.
	Scope  identity.Scope
	Handle http.HandlerFunc
}

func (h *API) moreOperations() []operation {
	all := make([]operation, len(h.More))
	for i, o := range h.More {
		all[i] = operation{
			method: o.Method, path: o.Path, guard: h.Auth.RequireKey(httpapi.V2, o.Scope), handle: o.Handle,
			id: o.ID, summary: o.Summary, description: o.Description, requires: anyKeyOf + string(o.Scope),
			request: o.Request, response: o.Response, status: o.Status, contentType: o.ContentType, errors: o.Errors,
		}
	}
	return all
}
