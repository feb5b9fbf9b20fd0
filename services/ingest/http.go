package ingest

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// routes is every route of the gateway. A key's scope decides what it may do; the token that a submit answered with is
// enough for that one build where it says OrToken.
func (g *Ingest) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(httpapi.WithRequestID, httpapi.LogRequests(g.log), httpapi.RecoverPanics(g.log), httpapi.RequireText)
	r.NotFound(httpapi.NotFound)
	r.MethodNotAllowed(httpapi.NotFound)

	r.Get("/health", g.health)
	r.Get("/api/health", g.health)
	r.Get("/livez", g.live)
	r.Get("/readyz", g.ready)

	// API v1: the deployed clients'.
	submit, read := g.auth.RequireKey(httpapi.V1, identity.ScopeSubmit), g.auth.RequireKey(httpapi.V1, identity.ScopeRead)
	r.With(submit).Post("/api/builds/submit", g.submitV1)
	r.With(read).Get("/api/builds", g.listV1)
	r.With(read).Get("/api/builds/", g.listV1)
	r.With(read).Get("/api/builds/active", g.activeV1)
	r.With(submit).Post("/api/builds/{id}/cancel", g.cancelV1)
	readOrToken, submitOrToken := g.auth.RequireKeyOrToken(httpapi.V1, identity.ScopeRead), g.auth.RequireKeyOrToken(httpapi.V1, identity.ScopeSubmit)
	r.With(readOrToken).Get("/api/builds/{id}/status", g.statusV1)
	r.With(readOrToken).Get("/api/builds/{id}/logs", g.logsV1)
	r.With(readOrToken).Get("/api/builds/{id}/download", g.downloadV1)
	r.With(submitOrToken).Post("/api/builds/{id}/retry", g.retryV1)

	g.routesOfWorkersV1(r)
	g.routesSigning(r)
	g.routesStats(r)
	g.routesDiagnostics(r)

	r.Route(api.Path, g.routesV2)
	g.pages.Routes(r)
	return r
}

// routesOfWorkersV1 are those of the deployed workers and of the scripts in their VMs.
func (g *Ingest) routesOfWorkersV1(r chi.Router) {
	r = r.With(g.auth.RequireKey(httpapi.V1, identity.ScopeWorker))
	r.Post("/api/workers/register", g.registerV1)
	r.Get("/api/workers/poll", g.pollV1)
	r.Post("/api/workers/upload", g.uploadV1)
	r.Get("/api/workers/{id}/stats", g.workerStatsV1)
	r.Post("/api/workers/{id}/unregister", g.unregisterV1)
	r.Post("/api/builds/{id}/heartbeat", g.heartbeatV1)
	holder := g.requireHolder(false)
	r.With(holder).Get("/api/builds/{id}/source", g.sourceV1)
	r.With(holder).Post("/api/builds/{id}/logs", g.addLogsV1)
	r.With(g.requireHolderBy(true, g.farm.RecentlyHeldBy)).Post("/api/builds/{id}/telemetry", g.telemetryV1)
}

// routesSigning are for the worker that holds a build.
func (g *Ingest) routesSigning(r chi.Router) {
	worker := g.auth.RequireKey(httpapi.V1, identity.ScopeWorker)
	r.With(worker, g.requireHolder(false)).Get("/api/builds/{id}/certs", g.certsV1)
	r.With(worker, g.requireHolder(true)).
		Get("/api/builds/{id}/certs-secure", g.certsSecureV1)
}

// routesStats are open to everybody; scripts of the landing page ask from browsers.
func (g *Ingest) routesStats(r chi.Router) {
	r = r.With(httpapi.AllowOrigins(g.cfg.StatsOrigins))
	for _, path := range []string{"/api/stats", "/public/stats"} {
		r.Get(path, g.statsV1)
		r.Options(path, g.statsV1)
	}
}

// routesDiagnostics are what workers report of their own health.
func (g *Ingest) routesDiagnostics(r chi.Router) {
	worker, read := g.auth.RequireKey(httpapi.V1, identity.ScopeWorker), g.auth.RequireKey(httpapi.V1, identity.ScopeRead)
	r.With(worker).Post("/api/diagnostics/report", g.reportV1)
	r.With(read).Get("/api/diagnostics/{worker}", g.reportsV1)
	r.With(read).Get("/api/diagnostics/{worker}/latest", g.latestReportV1)
}
