package embedbus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Account is where services and workers meet.
const Account = "FA"

// servicesUser bypasses the callout; its password is random and leaves the process only by Credentials.
const servicesUser = "services"

// Config of an embedded server.
type Config struct {
	// Dir holds the streams and the remembered port. Required, absolute.
	Dir string
	// Listen is host:port for workers. Port 0 picks a free port once and keeps it in Dir, so that workers find a restarted
	// server again.
	Listen string
	// Issuer is the public account key whose JWTs the callout issues.
	Issuer string
	// TLS is required of workers that connect over TCP; nil: none.
	TLS *tls.Config
	Log *slog.Logger
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	mu       sync.RWMutex
	srv      *server.Server // guarded by mu: Restart replaces it
	failures failures
	password string
	secure   bool
	log      *slog.Logger
	outboxes *syncer
}

// damagedCure works because hand-outs are put back from SQL.
const damagedCure = "Check its disk and its owner. Move this directory away if it is damaged, and start again: " +
	"a new one is made, builds stay, and only events and log lines of builds that have not ended are lost"

const (
	readyTimeout = 10 * time.Second
	// maxPayload bounds a message: lists and log batches fit, bytes of objects do not belong here.
	maxPayload = 1 << 20
	// syncEvery bounds what a power cut takes of the streams that nobody calls Sync for.
	syncEvery = 5 * time.Second
	// pingEvery is how long a connection may be silent before the server asks. Services are in this process, and workers send
	// heartbeats; a dead one's pulls expire sooner than this. For thousands of workers shorter pings are most of an idle bus.
	pingEvery = 10 * time.Minute
)

// maxStore is no limit: the streams have their own (bus.Topology.Within), by what the disk has at each start. The server's, by what
// it has at the first, would refuse to lower those when the disk has less.
const maxStore = 1 << 50

// Start runs a server until Close.
func Start(cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the bus: %w", err)
	}
	host, port, err := chooseAddr(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, password: identity.NewSecret(), secure: cfg.TLS != nil, log: cfg.Log.With("service", "bus"), outboxes: newSyncer(cfg.Dir),
	}
	s.failures.mark = filepath.Join(cfg.Dir, markName)
	if err := rebuildIfFailed(cfg.Dir); err != nil {
		return nil, err
	}
	if s.srv, err = s.launch(host, port); err != nil {
		return nil, err
	}
	return s, rememberPort(cfg.Dir, s.port())
}

// launch starts a server on the directory and returns it when it serves.
func (s *Server) launch(host string, port int) (*server.Server, error) {
	srv, err := s.tryLaunch(host, port)
	if err != nil {
		return nil, fmt.Errorf("the bus cannot start in %s: %w. %s", s.cfg.Dir, err, damagedCure)
	}
	return srv, nil
}

func (s *Server) tryLaunch(host string, port int) (*server.Server, error) {
	if err := persistLogs(s.cfg.Dir); err != nil {
		return nil, err
	}
	opts, account := s.options(s.cfg, host, port)
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	said := &logger{log: s.log, failed: s.failures.note}
	srv.SetLoggerV2(said, false, false, false)
	srv.Start()
	if why, ok := said.fatal.Load().(string); ok {
		shutDown(srv)
		return nil, errors.New(why)
	}
	if !srv.ReadyForConnections(readyTimeout) {
		shutDown(srv)
		return nil, fmt.Errorf("it is not ready after %s", readyTimeout)
	}
	live, err := srv.LookupAccount(account.Name)
	if err == nil {
		err = live.EnableJetStream(nil, nil)
	}
	if err != nil {
		shutDown(srv)
		return nil, fmt.Errorf("enable JetStream: %w", err)
	}
	return srv, nil
}

func (s *Server) current() *server.Server {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.srv
}

func (s *Server) options(cfg Config, host string, port int) (*server.Options, *server.Account) {
	fa, sys := server.NewAccount(Account), server.NewAccount("SYS")
	return &server.Options{
		ServerName: "freeagent", Host: host, Port: port, MaxPayload: maxPayload,
		JetStream: true, StoreDir: cfg.Dir, SyncInterval: syncEvery, JetStreamMaxStore: maxStore,
		Accounts: []*server.Account{fa, sys}, SystemAccount: sys.Name,
		Users:       []*server.User{{Username: servicesUser, Password: s.password, Account: fa}},
		AuthCallout: &server.AuthCallout{Issuer: cfg.Issuer, Account: Account, AuthUsers: []string{servicesUser}},
		TLSConfig:   cfg.TLS, TLS: cfg.TLS != nil, TLSTimeout: 2,
		AuthTimeout: 2, PingInterval: pingEvery, MaxPingsOut: 2,
		NoSigs: true, NoSystemAccount: false, DisableShortFirstPing: true,
	}, fa
}

// Connect returns a service its own connection inside the process. The caller closes it.
func (s *Server) Connect(name string, log *slog.Logger) (*nats.Conn, error) {
	return bus.Connect(bus.Config{Name: name, User: servicesUser, Password: s.password, InProcess: s}, log)
}

// InProcess is for connections without a socket; they log in as those over TCP do.
func (s *Server) InProcess() nats.InProcessConnProvider { return s }

var _ nats.InProcessConnProvider = (*Server)(nil)

// InProcessConn connects to the server that runs now: a client that reconnects finds a restarted one.
func (s *Server) InProcessConn() (net.Conn, error) { return s.current().InProcessConn() }

// Credentials are what a service in another process connects with over TCP, past the callout.
func (s *Server) Credentials() (user, password string) { return servicesUser, s.password }

// Port is where workers connect.
func (s *Server) port() int {
	if a, ok := s.current().Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// URL is where workers on host connect.
func (s *Server) URL(host string) string {
	scheme := "nats://"
	if s.secure {
		scheme = "tls://"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(s.port()))
}

// Close stops the server and waits until its data are on disk.
func (s *Server) Close() { shutDown(s.current()) }

func shutDown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// chooseAddr decides where to listen: as told, at the remembered port, or at a free one.
func chooseAddr(cfg Config) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "", 0, fmt.Errorf("address of the bus must be host:port, such as 127.0.0.1:4222 (got %q)", cfg.Listen)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address of the bus %q: %q is not a port", cfg.Listen, text)
	}
	if port != 0 {
		if err := canBind(host, port); err != nil {
			return "", 0, fmt.Errorf("the bus cannot listen on %s: %w; choose another with --bus-listen", cfg.Listen, err)
		}
		return host, port, nil
	}
	if port = rememberedPort(cfg.Dir); port > 0 {
		if err := canBind(host, port); err == nil {
			return host, port, nil
		}
		cfg.Log.Warn("bus port taken; using another one, workers rejoin", "port", port)
	}
	return host, server.RANDOM_PORT, nil
}

func canBind(host string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))) //nolint:noctx // closed at once
	if errors.Is(err, syscall.EADDRINUSE) {
		return errors.New("another process is using this port")
	}
	if err != nil {
		return err
	}
	return l.Close()
}

func portFile(dir string) string { return filepath.Join(dir, "port") }

func rememberedPort(dir string) int {
	text, err := os.ReadFile(portFile(dir))
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return port
}

func rememberPort(dir string, port int) error {
	if err := os.WriteFile(portFile(dir), []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return fmt.Errorf("remember the bus's port: %w", err)
	}
	return nil
}
