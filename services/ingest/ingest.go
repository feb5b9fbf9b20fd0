package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/buildnumbers"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/pages"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/repack"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/reuse"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	v1 "github.com/expo-free-agent/freeagent/services/ingest/internal/v1"
	v2 "github.com/expo-free-agent/freeagent/services/ingest/internal/v2"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/variables"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/api"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/retention"
	"github.com/expo-free-agent/freeagent/shared/streamhealth"
)

// Ingest is a gateway. Create it with New; Handler serves HTTP, Run the bus. It is safe for
// concurrent use.
type Ingest struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	store *store.Store
	farm  *farm.Farm
	// samples publishes telemetry without waiting. When the bus is slow, telemetry is dropped
	// first.
	samples  *bus.Async
	webhooks *webhook.Service
	retained *retention.Marker
	submits  *submit.Service
	// storage knows whether the bus can store.
	storage *streamhealth.Watcher
	v1      *v1.API
	v2      *v2.API
	pages   *pages.Pages
	// stopping ends streams, which have no end of their own.
	stopping context.Context // the life of the gateway
	stop     context.CancelFunc
}

// New migrates the gateway's schema and stores the bootstrap key. It starts no goroutines.
func New(ctx context.Context, cfg Config, d Deps) (*Ingest, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway configuration: %w", err)
	}
	if err := d.validate(); err != nil {
		return nil, err
	}
	st, err := store.New(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	if err := st.Bootstrap(ctx, cfg.BootstrapKey); err != nil {
		return nil, err
	}
	js, err := bus.JetStream(d.Conn)
	if err != nil {
		return nil, err
	}
	g := &Ingest{
		cfg: cfg, deps: d, store: st, log: slog.New(observe.Handler(d.Log.Handler())).With("service", "ingest"),
		storage: streamhealth.New(streamhealth.Config{Conn: d.Conn, JS: js}), // the scheduler logs what it finds
	}
	g.retained = retention.NewMarker(d.Conn, g.log)
	g.stopping, g.stop = context.WithCancel(context.Background())
	if g.samples, err = bus.NewAsync(d.Conn, cfg.TelemetryQueueSize, "samples of telemetry", g.log); err != nil {
		return nil, err
	}
	if g.farm, err = farm.New(farm.Config{Conn: d.Conn, JS: js, Log: g.log, StageTTLs: cfg.StageTTLs}); err != nil {
		return nil, err
	}
	if g.webhooks, err = webhook.New(cfg.webhooks(), webhook.Deps{Store: st.WebhookStore, JS: js, Log: g.log, Build: g.buildNow}); err != nil {
		return nil, err
	}
	if err := g.newAPIs(js); err != nil {
		return nil, err
	}
	g.pages, err = pages.New(v2.Backend{API: g.v2}, cfg.SessionTTL, g.log)
	return g, err
}

// legacyGateway is an Ingest that is built with legacy.go.
type legacyGateway interface {
	addLegacy(*auth.Guard, *objects.Transfers) []v2.Operation
}

// newAPIs creates the handlers of both APIs and what they share.
func (g *Ingest) newAPIs(js jetstream.JetStream) error {
	responder := httpapi.Responder{Log: g.log}
	transfers, err := objects.New(g.farm, g.deps.ArtifactURL, g.deps.ArtifactClient, responder)
	if err != nil {
		return err
	}
	guard := auth.New(g.store.AccessStore, g.cfg.TokenKey, responder)
	certs := submit.NewCertsMemory(g.cfg.MaxConcurrentCerts, g.cfg.MaxCertsBytes)
	g.submits = submit.New(submit.Config{MaxUploadBytes: g.cfg.MaxUploadBytes, SubmitRetryWindow: g.cfg.SubmitRetryWindow}, submit.Deps{
		Farm: g.farm, Store: g.store.SubmitStore, Objects: transfers, Storage: g.storage, Retained: g.retained, Certs: certs, Sole: g.deps.Sole, Log: g.log,
	})
	reader, err := logs.NewReader(js, logstream.NewAuthors(g.farm.BuildWithAttempts), g.farm.ArchivedLog, transfers.Archive)
	if err != nil {
		return err
	}
	sender := logs.Sender{Responder: responder, Reader: reader}
	g.v1, err = v1.New(v1.Config{
		MaxUploadBytes: g.cfg.MaxUploadBytes, MaxResultBytes: g.cfg.MaxResultBytes, BaseImage: g.cfg.BaseImage, LogLimit: g.cfg.LogLimit,
		StatsOrigins: g.cfg.StatsOrigins,
	}, v1.Deps{
		Responder: responder, Farm: g.farm, Auth: guard, Objects: transfers, Submits: g.submits, Logs: sender, Certs: certs, Store: g.store,
		Samples: g.samples,
	})
	if err != nil {
		return err
	}
	more := slices.Concat(variables.API{Responder: responder, Farm: g.farm}.Operations(),
		buildnumbers.API{Responder: responder, Farm: g.farm}.Operations(), reuse.API{Responder: responder, Farm: g.farm, Token: guard.Token}.Operations(),
		repack.API{Responder: responder, Farm: g.farm}.Operations())
	if l, ok := any(g).(legacyGateway); ok {
		more = append(more, l.addLegacy(guard, transfers)...)
	}
	g.v2, err = v2.New(v2.Config{
		MaxUploadBytes: g.cfg.MaxUploadBytes, MaxFollowers: g.cfg.MaxFollowers, FollowHeartbeat: g.cfg.FollowHeartbeat, SessionTTL: g.cfg.SessionTTL,
	}, v2.Deps{
		Responder: responder, Farm: g.farm, Auth: guard, Objects: transfers, Submits: g.submits, Webhooks: g.webhooks, Store: g.store, JS: js,
		Logs: sender, BusURL: g.deps.BusURL, More: more, Stopping: g.stopping,
	})
	return err
}

// Run serves the bus and runs the background loops until ctx ends. Stop HTTP after Run, which ends
// streams.
func (g *Ingest) Run(ctx context.Context) error {
	defer g.stop()
	group := lifecycle.New(g.log)
	group.Go("callout", identity.Callout{
		Conn: g.deps.Conn, Issuer: g.deps.Issuer, XKey: g.deps.XKey, Account: g.deps.Account, Lookup: g.store.Worker,
		TTL: g.cfg.WorkerTTL, Log: g.log,
	}.Run)
	group.Go("retained objects", g.retained.Run)
	group.Go("storage of the bus", g.storage.Run)
	group.Go("requests", g.requestsLoop)
	for name, loop := range g.submits.Loops() {
		group.Go(name, loop)
	}
	group.Go("idempotency keys", g.sweepLoop)
	group.Go("samples", g.samples.Run)
	group.Go("builds", func(ctx context.Context) error {
		return g.farm.Watch(ctx, func(id string) { g.v1.Ended(ctx, id) })
	})
	for name, loop := range g.webhooks.Loops() {
		group.Go(name, loop)
	}
	return group.Run(ctx)
}

// buildNow returns a build as clients of API v2 see it.
func (g *Ingest) buildNow(ctx context.Context, id string) (api.Build, error) {
	resp, err := g.farm.BuildWithAttempts(ctx, id)
	if err != nil {
		return api.Build{}, err
	}
	return v2.View(resp.GetBuild(), resp.GetAttempts()), nil
}

// Handler returns the HTTP handler.
func (g *Ingest) Handler() http.Handler { return g.routes() }
