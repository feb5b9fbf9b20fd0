package ingest

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// routes is every route of the gateway.
func (g *Ingest) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(g.withRequestID, g.recoverPanics)
	r.NotFound(notFound)
	r.MethodNotAllowed(notFound)

	r.Get("/health", g.health)
	r.Get("/api/health", g.health)
	r.Get("/livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	r.Get("/readyz", g.ready)

	// API v1: the deployed clients'.
	r.Group(func(r chi.Router) {
		r.Use(g.requireKey(v1))
		r.Post("/api/builds/submit", g.submitV1)
		r.Get("/api/builds", g.listV1)
		r.Get("/api/builds/", g.listV1)
		r.Get("/api/builds/active", g.activeV1)
		r.Post("/api/builds/{id}/cancel", g.cancelV1)
	})
	r.Group(func(r chi.Router) {
		r.Use(g.requireKeyOrToken(v1))
		r.Get("/api/builds/{id}/status", g.statusV1)
		r.Get("/api/builds/{id}/logs", g.logsV1)
		r.Get("/api/builds/{id}/download", g.downloadV1)
		r.Post("/api/builds/{id}/retry", g.retryV1)
	})

	// API v2: our own clients'.
	r.Group(func(r chi.Router) {
		r.Use(g.requireKey(v2))
		r.Post(api.Path+"/builds", g.submitV2)
		r.Get(api.Path+"/builds", g.listV2)
		r.Post(api.Path+"/builds/{id}/cancel", g.cancelV2)
		r.Post(api.Path+"/workers", g.join)
	})
	r.Group(func(r chi.Router) {
		r.Use(g.requireKeyOrToken(v2))
		r.Get(api.Path+"/builds/{id}", g.getV2)
		r.Get(api.Path+"/builds/{id}/logs", g.logsV2)
		r.Get(api.Path+"/builds/{id}/result", g.resultV2)
		r.Post(api.Path+"/builds/{id}/retry", g.retryV2)
	})
	// The ticket in the header is the authority here, and the artifact service judges it.
	r.Handle(api.ObjectsPath, http.HandlerFunc(g.moveObject))
	return r
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, map[string]string{"error": "Not found"})
}
