package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Run is the whole program: it returns nil after a clean stop, which ctx's end asks for.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("artifact", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, usage) }
	showVersion := flags.Bool("version", false, "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return fmt.Errorf("command line: %w", err)
	}
	if *showVersion {
		_, err := fmt.Fprintln(stdout, version.Version)
		return err
	}
	s, err := read(environ)
	if err != nil {
		return err
	}
	return s.serve(ctx, slog.New(slog.NewJSONHandler(stderr, nil)))
}

// serve connects, runs and closes in reverse order.
func (s settings) serve(ctx context.Context, log *slog.Logger) (err error) {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	db, err := database.Open(ctx, database.Config{URL: s.DatabaseURL, Service: "artifact", MaxConns: s.DatabaseConns})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := objects.New(objects.Config{
		Endpoint: s.S3Endpoint, AccessKey: s.S3AccessKey, SecretKey: s.S3SecretKey, Bucket: s.S3Bucket,
		Region: s.S3Region, Secure: s.S3TLS,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	nc, err := s.connect(log)
	if err != nil {
		return err
	}
	defer nc.Close()
	service, err := artifact.New(cfg, artifact.Deps{DB: db, Store: store, Conn: nc, Log: log})
	if err != nil {
		return err
	}
	return s.run(ctx, service, log)
}

func (s settings) connect(log *slog.Logger) (*nats.Conn, error) {
	var opts []nats.Option
	if s.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(s.NATSCreds))
	}
	return bus.Connect(bus.Config{
		URL: s.NATSURL, Name: "artifact", User: s.NATSUser, Password: s.NATSPassword, Options: opts,
	}, log)
}

// stopTimeout is for the HTTP server's idle connections; transfers have ended by then.
const stopTimeout = 5 * time.Second

// run serves HTTP around the service: the listener opens first, so that a taken port is told at once, and closes last, so
// that probes see "stopping" while transfers end.
func (s settings) run(ctx context.Context, service *artifact.Service, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.InfoContext(ctx, "listening", "address", listener.Addr().String())
	server := &http.Server{
		Handler: service.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan error, 1)
	go func() {
		err := server.Serve(listener)
		cancel(err) // a listener that breaks ends the service
		served <- err
	}()
	err = service.Run(ctx)
	stop, done := context.WithTimeout(context.Background(), stopTimeout)
	defer done()
	err = errors.Join(err, server.Shutdown(stop))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve HTTP: %w", e))
	}
	return err
}
