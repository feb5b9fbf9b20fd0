package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// farm is a running artifact service with real neighbours: bus, database, S3 endpoint. The scheduler, the far end of a
// wire, is played by the test.
type farm struct {
	t         *testing.T
	bus       *bustest.Server
	conn      *nats.Conn
	db        *database.DB
	store     objects.Store
	scheduler *scheduler
	service   *artifact.Service
	url       string
	log       *logBuffer
	cfg       artifact.Config
	prepare   []func(*artifact.Service)
	stop      func() error
}

type option struct {
	config func(*artifact.Config)
	free   func() (uint64, error)
	// prepare is done to the service before it runs.
	prepare func(*artifact.Service)
	wrap    func(objects.Store) objects.Store
	// db is another database than one of SQLite.
	db *database.DB
}

func setup(t *testing.T, opts ...option) *farm {
	t.Helper()
	f := &farm{t: t, bus: bustest.Start(t), db: databasetest.Open(t, databasetest.SQLite(t)), log: &logBuffer{}}
	f.conn = f.bus.Connect("artifact")
	f.store = newS3(t)
	f.scheduler = startScheduler(t, f.bus.Connect("scheduler"))
	f.cfg = artifact.DefaultConfig()
	f.cfg.TicketKey, f.cfg.MasterKey = bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	f.cfg.JanitorInterval = 20 * time.Millisecond
	f.cfg.ReserveBytes = 0
	deps := artifact.Deps{DB: f.db, Store: f.store, Conn: f.conn, Log: f.slog()}
	for _, o := range opts {
		if o.db != nil {
			f.db, deps.DB = o.db, o.db
		}
		if o.config != nil {
			o.config(&f.cfg)
		}
		if o.wrap != nil {
			deps.Store = o.wrap(f.store)
		}
		deps.FreeSpace = o.free
		if o.prepare != nil {
			f.prepare = append(f.prepare, o.prepare)
		}
	}
	f.start(deps)
	return f
}

func (f *farm) slog() *slog.Logger { return slog.New(slog.NewTextHandler(f.log, nil)) }

func (f *farm) start(deps artifact.Deps) {
	f.t.Helper()
	service, err := artifact.New(f.cfg, deps)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, prepare := range f.prepare {
		prepare(service)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	f.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	select {
	case <-service.Ready():
	case err := <-ended:
		f.t.Fatalf("Run = %v before it was ready", err)
	}
	server := httptest.NewServer(service.Handler())
	f.service, f.url = service, server.URL
	f.t.Cleanup(func() {
		if err := f.stop(); err != nil {
			f.t.Errorf("Run = %v", err)
		}
		server.CloseClientConnections()
		server.Close()
	})
}

// newS3 starts an S3 endpoint of the test's own.
func newS3(t *testing.T) objects.Store {
	t.Helper()
	// TLS, because this endpoint does not understand the signed chunks that are sent without.
	server := httptest.NewUnstartedServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	s, err := objects.New(objects.Config{
		Endpoint: strings.TrimPrefix(server.URL, "https://"), AccessKey: "a", SecretKey: "b", Bucket: "farm",
		Secure: true, Transport: server.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return s
}

// scheduler answers what the artifact service asks of the scheduler.
type scheduler struct {
	mu      sync.Mutex
	builds  map[string]*schedulerv1.Build
	holders map[string]string // build -> worker
	// attempts are who held them, by build.
	attempts map[string][]*schedulerv1.Attempt
	fault    error
	repacks  map[string]*schedulerv1.RepackSource
}

func startScheduler(t *testing.T, nc *nats.Conn) *scheduler {
	t.Helper()
	s := &scheduler{builds: map[string]*schedulerv1.Build{}, holders: map[string]string{}, attempts: map[string][]*schedulerv1.Attempt{}, repacks: map[string]*schedulerv1.RepackSource{}}
	r, err := rpc.NewService(nc, "scheduler", "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(rpc.Handle(r, "check_lease", s.checkLease), rpc.Handle(r, "get", s.get), nc.Flush())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *scheduler) set(b *schedulerv1.Build, holder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builds[b.GetId()], s.holders[b.GetId()] = b, holder
}

func (s *scheduler) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

func (s *scheduler) checkLease(_ context.Context, r *schedulerv1.CheckLeaseRequest) (*schedulerv1.CheckLeaseResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.builds[r.GetBuildId()]
	if b == nil {
		return nil, build.ErrNotFound
	}
	if s.holders[b.GetId()] != r.GetWorkerId() || b.GetAttempt() != r.GetAttempt() {
		return nil, build.ErrLeaseLost
	}
	return &schedulerv1.CheckLeaseResponse{Build: b, Repack: s.repacks[b.GetId()]}, s.fault
}

func (s *scheduler) get(_ context.Context, r *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	if b := s.builds[r.GetBuildId()]; b != nil {
		return &schedulerv1.GetResponse{Build: b, Attempts: s.attempts[r.GetBuildId()]}, nil
	}
	return nil, build.ErrNotFound
}

// claim gives an attempt to a worker, if nobody has it.
func (s *scheduler) claim(id, worker string, attempt int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.attempts[id] {
		if a.GetNumber() == attempt {
			return
		}
	}
	s.attempts[id] = append(s.attempts[id], &schedulerv1.Attempt{Number: attempt, WorkerId: worker})
}

// logBuffer collects the log, to show that no secret is in it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}
