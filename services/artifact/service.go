package artifact

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/cache"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/grant"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/janitor"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/logs"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/meter"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/transfer"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/variables"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

// Deps are what the service works with. All but FreeSpace are required. The caller closes them.
type Deps struct {
	DB    *database.DB
	Store objects.Store
	Conn  *nats.Conn
	Log   *slog.Logger
	// FreeSpace is how many bytes the object store's disk has left; nil: unknown, then only the store itself refuses. An error that
	// matches build.ErrNoSpace says why it can take no more although bytes are left.
	FreeSpace func() (uint64, error)
}

// Service is one replica. Make it with New; Run and Handler belong together.
type Service struct {
	cfg       Config
	deps      Deps
	store     *store.Store
	catalog   *catalog.Catalog
	tickets   *ticket.Signer
	transfers *transfer.Transfers
	variables *variables.Service
	logs      logs.Config

	ready     chan struct{}
	readyOnce sync.Once
}

// New checks cfg and deps; it sends nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	deps.Log = slog.New(observe.Handler(deps.Log.Handler()))
	tickets, err := ticket.New(cfg.TicketKey)
	if err != nil {
		return nil, err
	}
	box, err := seal.New(cfg.MasterKey)
	if err != nil {
		return nil, err
	}
	counters, err := meter.New()
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, deps: deps, store: store.New(deps.DB), tickets: tickets, logs: cfg.logs(), ready: make(chan struct{})}
	s.catalog = catalog.New(cfg.catalog(), catalog.Deps{
		Rows: s.store.Objects, Objects: deps.Store, Box: box, FreeSpace: deps.FreeSpace, Meter: counters, Log: deps.Log,
	})
	key, err := sealedbox.Derive(cfg.MasterKey, "values of variables")
	if err != nil {
		return nil, err
	}
	digestKey, err := hkdf.Key(sha256.New, cfg.MasterKey, nil, "digests of variables", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	s.variables = variables.New(variables.Deps{Rows: store.NewVariables(deps.DB), Box: box, Key: key, DigestKey: digestKey, Log: deps.Log})
	s.transfers = transfer.New(transfer.Config{
		StallTimeout: cfg.StallTimeout, StaleUploadAge: cfg.StaleUploadAge, MaxUploads: cfg.MaxUploads,
	}, s.catalog, tickets)
	return s, nil
}

func (d Deps) validate() error {
	var errs []error
	for name, missing := range map[string]bool{
		"DB": d.DB == nil, "Store": d.Store == nil, "Conn": d.Conn == nil, "Log": d.Log == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("artifact: Deps.%s is missing", name))
		}
	}
	return errors.Join(errs...)
}

// Run migrates the tables, makes the bucket and serves requests until ctx ends. Then it accepts no new transfers or requests,
// waits for those under way up to Config.DrainTimeout, cuts the rest and returns nil. Call it once. It returns ErrNotIntact if the
// object store lacks what the database names.
func (s *Service) Run(ctx context.Context) error {
	if err := s.store.Migrate(ctx); err != nil {
		return err
	}
	if err := s.checkIntact(ctx); err != nil {
		return err
	}
	if err := s.deps.Store.EnsureBucket(ctx); err != nil {
		return fmt.Errorf("prepare the object store: %w", err)
	}
	js, err := bus.JetStream(s.deps.Conn)
	if err != nil {
		return err
	}
	// Each request is bounded by rpc.DefaultTimeout.
	scheduler := schedulerv1.NewSchedulerServiceClient(rpc.Client{Conn: s.deps.Conn, Timeout: rpc.DefaultTimeout})
	archivist := logs.New(s.logs, logs.Deps{
		Catalog: s.catalog, Logs: s.store.Logs, JetStream: js, Scheduler: scheduler, Log: s.deps.Log,
	})
	shared := cache.New(s.cfg.cache(), store.NewCache(s.deps.DB), s.catalog)
	sweeper := janitor.New(janitor.Config{
		Interval: s.cfg.JanitorInterval, StaleUploadAge: s.cfg.StaleUploadAge, ExpiredMark: s.cfg.ExpiredMark,
	}, janitor.Deps{Catalog: s.catalog, Logs: s.store.Logs, Scheduler: scheduler, PurgeLines: archivist.Purge, Cache: shared})
	requests, err := s.serveRequests(requests{
		Grants: grant.New(s.catalog, s.tickets, s.cfg.TicketTTL, scheduler, s.variables, shared), Requests: catalog.Requests{Catalog: s.catalog},
		Archivist: archivist, Janitor: sweeper, Service: s.variables,
	})
	if err != nil {
		return err
	}
	s.work(ctx, archivist, sweeper)
	return s.drain(requests)
}

// work runs the loops until ctx ends.
func (s *Service) work(ctx context.Context, archivist *logs.Archivist, sweeper *janitor.Janitor) {
	var loops sync.WaitGroup
	loops.Go(func() { s.watchStore(ctx) })
	loops.Go(func() {
		if err := archivist.Run(ctx); err != nil { // its loops end with ctx only
			s.deps.Log.ErrorContext(ctx, "archiving of logs stopped", "err", err)
		}
	})
	s.transfers.Open()
	s.readyOnce.Do(func() { close(s.ready) })
	s.deps.Log.InfoContext(ctx, "artifact service is ready")
	_ = sweeper.Run(ctx) // nil when ctx ends
	loops.Wait()
}

// Ready is closed once requests and transfers are served.
func (s *Service) Ready() <-chan struct{} { return s.ready }

func (s *Service) drain(requests *rpc.Service) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	if cut := s.transfers.Drain(ctx); cut > 0 {
		s.deps.Log.Warn("transfers cut off at the stop timeout", "transfers", cut)
	}
	return requests.Stop(ctx)
}

// Handler serves the data plane at api.ObjectsPath, /livez, /readyz and /health. The server around it should set no read or write
// timeout on bodies: each transfer has a stall timeout of its own.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	s.transfers.Routes(mux)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", probe(s.CanServe))
	mux.HandleFunc("GET /health", probe(s.Check))
	return mux
}
