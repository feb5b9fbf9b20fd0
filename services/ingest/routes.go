package ingest

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// routes returns the handler of all routes.
func (g *Ingest) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(httpx.WithRequestID, httpapi.LogRequests(g.log), httpapi.RecoverPanics(g.log), httpapi.RequireText)
	r.NotFound(httpapi.NotFound)
	r.MethodNotAllowed(httpapi.NotFound)

	r.Get("/health", g.health)
	r.Get("/api/health", g.health)
	r.Get("/livez", g.live)
	r.Get("/readyz", g.ready)

	g.v1.Routes(r)
	r.Route(api.Path, g.v2.Routes)
	g.pages.Routes(r)
	return r
}
