package v1

import (
	"context"
	"fmt"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Config of an API.
type Config struct {
	// MaxUploadBytes bounds a whole submit request, MaxResultBytes a whole upload of a result.
	MaxUploadBytes, MaxResultBytes int64
	// BaseImage is the name of the VM image that workers are told to build in.
	BaseImage string
	// LogLimit bounds the log of one attempt.
	LogLimit loglimit.Limit
	// StatsOrigins are the web origins whose scripts may read the public statistics.
	StatsOrigins []string
}

// Deps are the dependencies of an API.
type Deps struct {
	httpapi.Responder

	Farm    *farm.Farm
	Auth    *auth.Guard
	Objects *objects.Transfers
	Submits *submit.Service
	Logs    logs.Sender
	Certs   submit.CertsMemory
	Store   *store.Store
	// Samples publishes telemetry without waiting. When the bus is slow, telemetry is dropped
	// first.
	Samples *bus.Async
}

// API serves the deployed clients. Create it with New. It is safe for concurrent use.
type API struct {
	Config
	Deps

	quota *logQuota
}

// New returns the API.
func New(cfg Config, d Deps) (*API, error) {
	quota, err := newLogQuota(cfg.LogLimit.OrDefault(), d.Store.AddLogSize, d.Log)
	if err != nil {
		return nil, fmt.Errorf("API v1: %w", err)
	}
	return &API{Config: cfg, Deps: d, quota: quota}, nil
}

// Ended drops the counts of an ended build.
func (a *API) Ended(ctx context.Context, buildID string) { a.quota.forget(ctx, buildID) }

type (
	// builds has the handlers for submitters.
	builds struct{ *API }
	// workers has the handlers for deployed workers and the scripts in their VMs.
	workers struct{ *API }
	// diagnostics has the handlers for workers' diagnostic reports.
	diagnostics struct{ *API }
)

// Routes adds every route of API v1.
func (a *API) Routes(r chi.Router) {
	a.routesOfBuilds(r)
	a.routesOfWorkers(r)
	a.routesOfCerts(r)
	a.routesOfStats(r)
	a.routesOfDiagnostics(r)
}

func (a *API) routesOfBuilds(r chi.Router) {
	b := builds{a}
	submit, read := a.Auth.RequireKey(httpapi.V1, identity.ScopeSubmit), a.Auth.RequireKey(httpapi.V1, identity.ScopeRead)
	r.With(submit).Post("/api/builds/submit", b.submit)
	r.With(read).Get("/api/builds", b.list)
	r.With(read).Get("/api/builds/", b.list)
	r.With(read).Get("/api/builds/active", b.active)
	r.With(submit).Post("/api/builds/{id}/cancel", b.cancel)
	readOrToken, submitOrToken := a.Auth.RequireKeyOrToken(httpapi.V1, identity.ScopeRead), a.Auth.RequireKeyOrToken(httpapi.V1, identity.ScopeSubmit)
	r.With(readOrToken).Get("/api/builds/{id}/status", b.status)
	r.With(readOrToken).Get("/api/builds/{id}/logs", b.logs)
	r.With(readOrToken).Get("/api/builds/{id}/download", b.download)
	r.With(submitOrToken).Post("/api/builds/{id}/retry", b.retry)
}

func (a *API) routesOfWorkers(r chi.Router) {
	w := workers{a}
	r = r.With(a.Auth.RequireKey(httpapi.V1, identity.ScopeWorker))
	r.Post("/api/workers/register", w.register)
	r.Get("/api/workers/poll", w.poll)
	r.Post("/api/workers/upload", w.upload)
	r.Get("/api/workers/{id}/stats", w.workerStats)
	r.Post("/api/workers/{id}/unregister", w.unregister)
	r.Post("/api/builds/{id}/heartbeat", w.heartbeat)
	holder := w.requireHolder(false)
	r.With(holder).Get("/api/builds/{id}/source", w.source)
	r.With(holder).Post("/api/builds/{id}/logs", w.addLogs)
	r.With(w.requireHolderBy(true, a.Farm.RecentlyHeldBy)).Post("/api/builds/{id}/telemetry", w.telemetry)
}

// routesOfCerts are for the worker that holds a build.
func (a *API) routesOfCerts(r chi.Router) {
	w, key := workers{a}, a.Auth.RequireKey(httpapi.V1, identity.ScopeWorker)
	r.With(key, w.requireHolder(false)).Get("/api/builds/{id}/certs", w.certs)
	r.With(key, w.requireHolder(true)).Get("/api/builds/{id}/certs-secure", w.certsSecure)
}

// routesOfStats are public; scripts of the landing page ask from browsers.
func (a *API) routesOfStats(r chi.Router) {
	s := &publicStats{API: a}
	r = r.With(httpapi.AllowOrigins(a.StatsOrigins))
	for _, path := range []string{"/api/stats", "/public/stats"} {
		r.Get(path, s.stats)
		r.Options(path, s.stats)
	}
}

func (a *API) routesOfDiagnostics(r chi.Router) {
	d := diagnostics{a}
	worker, read := a.Auth.RequireKey(httpapi.V1, identity.ScopeWorker), a.Auth.RequireKey(httpapi.V1, identity.ScopeRead)
	r.With(worker).Post("/api/diagnostics/report", d.report)
	r.With(read).Get("/api/diagnostics/{worker}", d.reports)
	r.With(read).Get("/api/diagnostics/{worker}/latest", d.latestReport)
}
