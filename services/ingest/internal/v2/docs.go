package v2

import (
	"net/http"
	"strconv"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
)

// describe returns the operations for the OpenAPI document.
func describe(operations []operation) []openapi.Operation {
	list := make([]openapi.Operation, 0, len(operations))
	for _, o := range operations {
		list = append(list, openapi.Operation{
			Method: o.method, Path: o.path, ID: o.id, Summary: o.summary, Description: o.description, Requires: o.requires, Guarded: o.guard != nil,
			Request: o.request, Response: o.response, Status: o.status, ContentType: o.contentType, Errors: o.errors,
		})
	}
	return list
}

// openAPI sends the OpenAPI document.
func (h *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(h.document)))
	_, _ = w.Write(h.document) // a client that left takes no answer
}

// docsPage sends the HTML page of the document.
func (h *API) docsPage(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(h.docs) // as above
}
