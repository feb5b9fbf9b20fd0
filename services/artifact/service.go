package artifact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// Deps is what the service works with; all but FreeSpace are required and stay the caller's to close.
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
	cfg     Config
	rows    *store.SQL
	objects objects.Store
	conn    *nats.Conn
	db      *database.DB
	log     *slog.Logger
	tickets *ticket.Signer
	box     *seal.Box
	space   *space
	slots   chan struct{} // one an upload
	meter   *meter
	now     func() time.Time

	// logLease is Config.LogLease, logRetry the constant of this name; logFault breaks off after a step. Tests set them.
	logLease, logRetry time.Duration
	logFault           func(step string) error

	ready     chan struct{}
	readyOnce sync.Once
	transfers *gate
}

// New checks cfg and deps; it sends nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	tickets, err := ticket.New(cfg.TicketKey)
	if err != nil {
		return nil, err
	}
	box, err := seal.New(cfg.MasterKey)
	if err != nil {
		return nil, err
	}
	meter, err := newMeter()
	if err != nil {
		return nil, err
	}
	return &Service{
		cfg: cfg, rows: store.New(deps.DB), objects: deps.Store, conn: deps.Conn, db: deps.DB, log: deps.Log,
		tickets: tickets, box: box, meter: meter, now: time.Now,
		space: &space{free: deps.FreeSpace, reserve: cfg.ReserveBytes}, slots: make(chan struct{}, cfg.MaxUploads),
		logLease: cfg.LogLease, logRetry: logRetry, logFault: func(string) error { return nil },
		ready: make(chan struct{}), transfers: newGate(),
	}, nil
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

// Run migrates the table, makes the bucket and serves requests until ctx ends. Then it takes no new transfers or requests,
// waits for those under way up to Config.DrainTimeout, cuts the rest and returns nil. It may be called once. An object store that lacks what the
// database names is ErrNotIntact.
func (s *Service) Run(ctx context.Context) error {
	if err := s.rows.Migrate(ctx); err != nil {
		return err
	}
	if err := s.checkIntact(ctx); err != nil {
		return err
	}
	if err := s.objects.EnsureBucket(ctx); err != nil {
		return fmt.Errorf("prepare the object store: %w", err)
	}
	requests, err := s.serveRequests()
	if err != nil {
		return err
	}
	archivist, err := newArchivist(s)
	if err != nil {
		return err
	}
	watched, archived := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		s.watchStore(ctx)
	}()
	go func() {
		defer close(archived)
		if err := archivist.run(ctx); err != nil { // its parts end with ctx only
			s.log.ErrorContext(ctx, "logs are not archived any more", "err", err)
		}
	}()
	s.readyOnce.Do(func() { close(s.ready) })
	s.log.InfoContext(ctx, "artifact service is ready")
	s.sweepUntil(ctx)
	<-archived
	<-watched
	return s.drain(requests)
}

// Ready is closed once requests and transfers are served.
func (s *Service) Ready() <-chan struct{} { return s.ready }

func (s *Service) drain(requests interface{ Stop(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	left := s.transfers.drain(ctx)
	if left > 0 {
		s.log.Warn("transfers were cut to stop in time", "transfers", left)
	}
	return requests.Stop(ctx)
}

// Handler serves the data plane at api.ObjectsPath, /livez and /readyz. The server around it should set no read or write
// timeout on bodies: each transfer has a stall timeout of its own.
func (s *Service) Handler() http.Handler { return s.routes() }
