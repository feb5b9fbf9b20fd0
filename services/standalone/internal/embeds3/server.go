package embeds3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

const (
	// Region is what clients sign for.
	Region = "us-east-1"

	maxConnections = 1024 // ours only: services and workers of one machine
	maxRequests    = 512
	maxParts       = 10_000
	portAttempts   = 10
	startTimeout   = 10 * time.Second
)

// Config says where the endpoint keeps its files and listens.
type Config struct {
	// Dir holds all files; it is made if missing. Required.
	Dir string
	// Addr is the loopback address to listen on. Empty or port 0 chooses a
	// free port of 127.0.0.1.
	Addr string
}

// Server is a running endpoint. Its methods are safe for concurrent use.
type Server struct {
	root      string // absolute; the buckets' parent
	attrs     string // side-car directory, "" with extended attributes
	endpoint  string
	accessKey string
	secretKey string

	cancel context.CancelFunc
	done   chan struct{} // closed when the gateway has returned
	err    error         // of the gateway, valid after done
}

// running is the process's: so is the working directory that the gateway changes.
//
//nolint:gochecknoglobals // see above
var running atomic.Bool

// Start runs an endpoint with fresh random credentials until Close, and
// returns when it accepts requests. ctx bounds the start only. See the package
// comment for what it does to the process.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if !running.CompareAndSwap(false, true) {
		return nil, ErrRunning
	}
	s, err := start(ctx, cfg)
	if err != nil {
		running.Store(false)
		return nil, err
	}
	return s, nil
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := prepare(cfg.Dir)
	if err != nil {
		return nil, err
	}
	host, port, err := splitAddr(cfg.Addr)
	if err != nil {
		return nil, err
	}
	if port != "0" {
		err := s.listen(ctx, net.JoinHostPort(host, port))
		return s, err
	}
	for range portAttempts {
		if port, err = freePort(ctx, host); err != nil {
			return nil, err
		}
		// The gateway takes no listener, so another process can grab the port
		// between the probe and the bind: then try the next.
		if err = s.listen(ctx, net.JoinHostPort(host, port)); !errors.Is(err, ErrAddress) {
			return s, err
		}
	}
	return nil, err
}

// prepare makes the directories and credentials.
func prepare(dir string) (*Server, error) {
	if dir == "" {
		return nil, errors.New("object store: no directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("object store directory: %w", err)
	}
	s := &Server{root: filepath.Join(dir, objectsDir), accessKey: randomHex(10), secretKey: randomHex(32)}
	if err := os.MkdirAll(s.root, 0o700); err != nil {
		return nil, fmt.Errorf("object store directory: %w", err)
	}
	s.attrs, err = attributesDir(dir, s.root)
	return s, err
}

func splitAddr(addr string) (host, port string, err error) {
	if addr == "" {
		return "127.0.0.1", "0", nil
	}
	host, port, err = net.SplitHostPort(addr)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", "", fmt.Errorf("%w: %s is not a loopback address", ErrAddress, addr)
	}
	return host, port, nil
}

func freePort(ctx context.Context, host string) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// listen starts the gateway on addr and waits until it is bound.
func (s *Server) listen(ctx context.Context, addr string) error {
	backend, err := posix.New(s.root, s.metadata(), s.options())
	if err != nil {
		return fmt.Errorf("open object store: %w", err)
	}
	// Detached: ctx bounds the start, Close ends the run.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	bound := make(chan struct{})
	s.endpoint, s.cancel, s.done = addr, cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(run, backend, s.gateway(addr, func() { close(bound) }))
	}()
	limit := time.NewTimer(startTimeout)
	defer limit.Stop()
	select {
	case <-bound:
		return nil
	case <-s.done:
		cancel()
		return s.refused()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-limit.C:
		err = context.DeadlineExceeded
	}
	cancel()
	<-s.done
	return fmt.Errorf("start object store on %s: %w", addr, err)
}

func (s *Server) refused() error {
	var op *net.OpError
	if errors.As(s.err, &op) {
		return fmt.Errorf("%w: %w", ErrAddress, s.err)
	}
	return fmt.Errorf("start object store on %s: %w", s.endpoint, s.err)
}

func (s *Server) gateway(addr string, onListen func()) *embedgw.Config {
	root := auth.Account{Access: s.accessKey, Secret: s.secretKey, Role: auth.RoleAdmin}
	return &embedgw.Config{
		IAMService:        auth.NewIAMServiceSingle(root), // the same as nil, but quiet
		RootUserAccess:    s.accessKey,
		RootUserSecret:    s.secretKey,
		Region:            Region,
		Ports:             []string{addr},
		MaxConnections:    maxConnections,
		MaxRequests:       maxRequests,
		MultipartMaxParts: maxParts,
		Quiet:             true,
		KeepAlive:         true,
		S3Options:         []s3api.Option{s3api.WithOnListen(onListen)},
	}
}

func (s *Server) options() posix.PosixOpts {
	opts := posix.PosixOpts{
		CopyObjectThreshold: math.MaxInt64, // S3's 5 GiB is no limit of a disk
		IOBufferSize:        128 << 10,     // per request; the default is 1 MiB
		ForceNoObjLockFile:  true,          // no other process writes here; else .vgwlocks grows
	}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	return opts
}

// Endpoint is the host:port that clients use, over plain HTTP.
func (s *Server) Endpoint() string { return s.endpoint }

// AccessKey names the only account; it is new at each Start.
func (s *Server) AccessKey() string { return s.accessKey }

// SecretKey is the account's secret.
func (s *Server) SecretKey() string { return s.secretKey }

// Done is closed when the endpoint has stopped, by Close or after a fault.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close stops accepting, lets the requests in flight finish and waits for the
// gateway; ctx bounds the wait. The gateway gives idle client connections and
// slow requests up to 10 s, so close the clients first. A second Close waits
// for the same end.
func (s *Server) Close(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		return fmt.Errorf("stop object store: %w", context.Cause(ctx))
	}
	running.Store(false)
	if s.err != nil && !errors.Is(s.err, context.Canceled) {
		return fmt.Errorf("stop object store: %w", s.err)
	}
	return nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, says crypto/rand
	return hex.EncodeToString(b)
}
