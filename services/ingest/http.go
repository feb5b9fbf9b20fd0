package ingest

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// routes is every route of the gateway. A key's scope decides what it may do; the token that a submit answered with is
// enough for that one build where it says OrToken.
func (g *Ingest) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(g.withRequestID, g.logRequests, g.recoverPanics)
	r.NotFound(notFound)
	r.MethodNotAllowed(notFound)

	r.Get("/health", g.health)
	r.Get("/api/health", g.health)
	r.Get("/livez", g.live)
	r.Get("/readyz", g.ready)

	// API v1: the deployed clients'.
	submit, read := g.requireKey(v1, identity.ScopeSubmit), g.requireKey(v1, identity.ScopeRead)
	r.With(submit).Post("/api/builds/submit", g.submitV1)
	r.With(read).Get("/api/builds", g.listV1)
	r.With(read).Get("/api/builds/", g.listV1)
	r.With(read).Get("/api/builds/active", g.activeV1)
	r.With(submit).Post("/api/builds/{id}/cancel", g.cancelV1)
	readOrToken, submitOrToken := g.requireKeyOrToken(v1, identity.ScopeRead), g.requireKeyOrToken(v1, identity.ScopeSubmit)
	r.With(readOrToken).Get("/api/builds/{id}/status", g.statusV1)
	r.With(readOrToken).Get("/api/builds/{id}/logs", g.logsV1)
	r.With(readOrToken).Get("/api/builds/{id}/download", g.downloadV1)
	r.With(submitOrToken).Post("/api/builds/{id}/retry", g.retryV1)

	g.routesSigning(r)
	g.routesStats(r)
	g.routesDiagnostics(r)

	r.Route(api.Path, g.routesV2)
	return r
}

// routesSigning are for the worker that holds a build.
func (g *Ingest) routesSigning(r chi.Router) {
	worker := g.requireKey(v1, identity.ScopeWorker)
	r.With(worker, g.requireHolder(holderRules{sayOther: sayOtherWorker})).Get("/api/builds/{id}/certs", g.certsV1)
	r.With(worker, g.requireHolder(holderRules{sayOther: sayNotAssigned, buildHeader: true})).
		Get("/api/builds/{id}/certs-secure", g.certsSecureV1)
}

// routesStats are open to everybody; scripts of the landing page ask from browsers.
func (g *Ingest) routesStats(r chi.Router) {
	r = r.With(g.allowOrigins)
	for _, path := range []string{"/api/stats", "/public/stats"} {
		r.Get(path, g.statsV1)
		r.Options(path, g.statsV1)
	}
}

// routesDiagnostics are what workers report of their own health.
func (g *Ingest) routesDiagnostics(r chi.Router) {
	worker, read := g.requireKey(v1, identity.ScopeWorker), g.requireKey(v1, identity.ScopeRead)
	r.With(worker).Post("/api/diagnostics/report", g.reportV1)
	r.With(read).Get("/api/diagnostics/{worker}", g.reportsV1)
	r.With(read).Get("/api/diagnostics/{worker}/latest", g.latestReportV1)
}

// routesV2 is our own clients' API.
func (g *Ingest) routesV2(r chi.Router) {
	submit, read, worker := g.requireKey(v2, identity.ScopeSubmit), g.requireKey(v2, identity.ScopeRead), g.requireKey(v2, identity.ScopeWorker)
	r.With(submit).Post("/builds", g.submitV2)
	r.With(read).Get("/builds", g.listV2)
	r.With(submit).Post("/builds/{id}/cancel", g.cancelV2)
	r.With(worker).Post("/workers", g.join)
	readOrToken, submitOrToken := g.requireKeyOrToken(v2, identity.ScopeRead), g.requireKeyOrToken(v2, identity.ScopeSubmit)
	r.With(readOrToken).Get("/builds/{id}", g.getV2)
	r.With(readOrToken).Get("/builds/{id}/logs", g.logsV2)
	r.With(readOrToken).Get("/builds/{id}/result", g.resultV2)
	r.With(submitOrToken).Post("/builds/{id}/retry", g.retryV2)
	// The ticket in the header is the authority here, and the artifact service judges it.
	r.Get("/objects", g.moveObject)
	r.Head("/objects", g.moveObject)
	r.Put("/objects", g.moveObject)
}

func notFound(w http.ResponseWriter, r *http.Request) {
	dialectOf(r.URL.Path).refuse(w, r, http.StatusNotFound, "not_found", "Not found")
}
