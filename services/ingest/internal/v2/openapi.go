package v2

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// document makes the OpenAPI 3.1 document of API v2 from the operations and the types that they really read and write.
func document(operations []operation) ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("Free Agent").WithVersion(version.Version).WithDescription(
		"Build Expo and React Native apps on machines you own. Errors are RFC 9457 problems with a machine's word in code. Times are RFC 3339.")
	r.Spec.WithServers(openapi31.Server{URL: "/"})
	r.Spec.SetAPIKeySecurity("key", "X-API-Key", openapi.InHeader, "An API key; Authorization: Bearer does as well.")
	r.Spec.SetAPIKeySecurity("token", "X-Build-Token", openapi.InHeader, "The access_token of one build, from its submit.")
	for _, o := range operations {
		if err := o.describe(r); err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", o.method, o.path, err)
		}
	}
	return json.MarshalIndent(r.Spec, "", "  ")
}

func (o operation) describe(r *openapi31.Reflector) error {
	c, err := r.NewOperationContext(o.method, api.Path+o.path)
	if err != nil {
		return err
	}
	c.SetID(o.id)
	c.SetSummary(o.summary)
	about := o.about
	if about != "" {
		about += "\n\n"
	}
	c.SetDescription(about + "Needs " + o.who + ".")
	if o.asks != nil {
		c.AddReqStructure(o.asks)
	}
	c.AddRespStructure(o.gives, func(u *openapi.ContentUnit) {
		u.HTTPStatus, u.ContentType, u.Description = o.status, o.contentType, http.StatusText(o.status)
	})
	refusals := o.refusals
	if o.method != http.MethodGet && o.method != http.MethodHead && !slices.Contains(refusals, http.StatusInsufficientStorage) {
		refusals = append(slices.Clone(refusals), http.StatusInsufficientStorage) // what changes something needs the disk
	}
	if o.guard != nil {
		c.AddSecurity("key")
		refusals = append([]int{http.StatusUnauthorized, http.StatusForbidden}, refusals...)
	}
	for _, status := range append(refusals, http.StatusServiceUnavailable) {
		c.AddRespStructure(api.Problem{}, func(u *openapi.ContentUnit) {
			u.HTTPStatus, u.ContentType, u.Description = status, "application/problem+json", http.StatusText(status)
		})
	}
	return r.AddOperation(c)
}

// openAPI answers with the document.
func (h *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(h.document)))
	_, _ = w.Write(h.document) // a client that left takes no answer
}

// docsPage shows the document to people.
func (h *API) docsPage(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(h.docs) // as above
}
