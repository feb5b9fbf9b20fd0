package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/pages"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/keeper"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/logstream"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/streamhealth"
)

// Ingest is one gateway. Make it with New; Handler answers HTTP, Run the bus. It is safe for concurrent use.
type Ingest struct {
	httpapi.Responder

	cfg     Config
	deps    Deps
	store   *store.Store
	auth    *auth.Guard
	farm    *farm.Farm
	nc      *nats.Conn
	js      jetstream.JetStream
	objects *objects.Transfers
	log     *slog.Logger
	// followers has a place for each log that may be followed at once.
	followers chan struct{}
	// samples are sent without waiting: telemetry is what is left out first when the bus is slow.
	samples  *bus.Async
	webhooks *webhook.Service
	keeper   *keeper.Keeper
	submits  *submit.Service
	// storage knows whether the bus can store.
	storage *streamhealth.Watcher
	// reader reads logs, broadcaster lets clients follow them.
	reader      *logs.Reader
	logs        logs.Sender
	v1          *v1.API
	broadcaster *logs.Broadcaster
	// pages are for people.
	pages *pages.Pages
	// document and docs are API v2's, for machines and for people.
	document, docs []byte
	logPlaces      logCache
	// stopping ends requests that never end by themselves (followed logs).
	stopping context.Context //nolint:containedctx // the life of the gateway
	stop     context.CancelFunc
}

// New migrates the gateway's schema and stores the bootstrap key; it starts nothing.
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
		cfg: cfg, deps: d, store: st, nc: d.Conn, js: js,
		followers: make(chan struct{}, cfg.MaxFollowers),
		log:       slog.New(observe.Handler(d.Log.Handler())).With("service", "ingest"),
	}
	if g.samples, err = bus.NewAsync(d.Conn, cfg.MaxSamples, "samples of telemetry", g.log); err != nil {
		return nil, err
	}
	if g.farm, err = farm.New(farm.Config{Conn: d.Conn, JS: js, Log: g.log, StageTTLs: cfg.StageTTLs}); err != nil {
		return nil, err
	}
	if g.webhooks, err = webhook.New(cfg.webhooks(), webhook.Deps{Store: st, JS: js, Log: g.log, Build: g.buildNow}); err != nil {
		return nil, err
	}
	g.Responder = httpapi.Responder{Log: g.log}
	if g.objects, err = objects.New(g.farm, d.ArtifactURL, d.ArtifactClient, g.Responder); err != nil {
		return nil, err
	}
	g.auth = auth.New(st, cfg.TokenKey, g.Responder)
	g.keeper = keeper.New(g.nc, g.log)
	g.storage = streamhealth.New(streamhealth.Config{Conn: g.nc, JS: js}) // the scheduler logs what it finds
	certs := submit.NewCertsMemory(cfg.MaxCertsAtOnce, cfg.MaxCertsBytes)
	g.submits = submit.New(submit.Config{MaxUploadBytes: cfg.MaxUploadBytes, RepeatWindow: cfg.RepeatWindow}, submit.Deps{
		Farm: g.farm, Store: st, Objects: g.objects, Storage: g.storage, Keeper: g.keeper, Certs: certs, Sole: d.Sole, Log: g.log,
	})
	g.stopping, g.stop = context.WithCancel(context.Background())
	if g.reader, err = logs.NewReader(js, logstream.NewAuthors(g.farm.BuildWithAttempts), g.archivedLog, g.objects.Archive); err != nil {
		return nil, err
	}
	g.logs = logs.Sender{Responder: g.Responder, Reader: g.reader}
	g.v1, err = v1.New(v1.Config{
		MaxUploadBytes: cfg.MaxUploadBytes, MaxResultBytes: cfg.MaxResultBytes, BaseImage: cfg.BaseImage, LogLimit: cfg.LogLimit,
		StatsOrigins: cfg.StatsOrigins,
	}, v1.Deps{
		Responder: g.Responder, Farm: g.farm, Auth: g.auth, Objects: g.objects, Submits: g.submits, Logs: g.logs, Certs: certs, Store: st,
		Samples: g.samples,
	})
	if err != nil {
		return nil, err
	}
	g.broadcaster = logs.NewBroadcaster(g.reader, logs.BroadcastConfig{State: g.stateOf, Encode: appendEvent, Beat: cfg.FollowBeat})
	if g.pages, err = pages.New(backend{g}, cfg.SessionTTL, g.log); err != nil {
		return nil, err
	}
	if g.document, err = document(g.operations()); err != nil {
		return nil, err
	}
	if g.docs, err = page(g.document); err != nil {
		return nil, err
	}
	return g, nil
}

// Run answers the bus's questions until ctx ends. Stop HTTP after it: followed logs end with it.
func (g *Ingest) Run(ctx context.Context) error {
	defer g.stop()
	group := lifecycle.New(g.log)
	group.Go("callout", identity.Callout{
		Conn: g.nc, Issuer: g.deps.Issuer, XKey: g.deps.XKey, Account: g.deps.Account, Lookup: g.store.Worker,
		TTL: g.cfg.WorkerTTL, Log: g.log,
	}.Run)
	group.Go("keeper", g.keeper.Run)
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
	return viewV2(resp.GetBuild(), resp.GetAttempts()), nil
}

// Handler answers HTTP.
func (g *Ingest) Handler() http.Handler { return g.routes() }
