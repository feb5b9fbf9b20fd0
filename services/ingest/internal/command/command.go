package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/httpserver"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Run is the whole program: it returns nil after a clean stop, which ctx's end asks for.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("ingest", flag.ContinueOnError)
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
		return err //nolint:wrapcheck // nothing to add
	}
	s, err := read(environ)
	if err != nil {
		return err
	}
	return s.serve(ctx, slog.New(slog.NewJSONHandler(stderr, nil)))
}

// serve connects, runs and closes in reverse order.
func (s settings) serve(ctx context.Context, log *slog.Logger) (err error) {
	cfg, err1 := s.config()
	deps, err2 := s.deps()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	deps.Log = log
	deps.DB, err = database.Open(ctx, database.Config{URL: s.DatabaseURL, Service: "ingest", MaxConns: s.DatabaseConns})
	if err != nil {
		return err //nolint:wrapcheck // says what it did
	}
	defer func() { err = errors.Join(err, deps.DB.Close()) }()
	if deps.Conn, err = s.connect(log); err != nil {
		return err
	}
	defer deps.Conn.Close()
	gateway, err := ingest.New(ctx, cfg, deps)
	if err != nil {
		return err //nolint:wrapcheck // says what it did
	}
	return s.run(ctx, gateway, log)
}

func (s settings) connect(log *slog.Logger) (*nats.Conn, error) {
	var opts []nats.Option
	if s.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(s.NATSCreds))
	}
	return bus.Connect(bus.Config{ //nolint:wrapcheck // says what it did
		URL: s.NATSURL, Name: "ingest", User: s.NATSUser, Password: s.NATSPassword, Options: opts,
	}, log)
}

// run serves HTTP around the gateway. The gateway stops first: the logs that are being followed end with it, and HTTP can
// wait for the requests that end by themselves.
func (s settings) run(ctx context.Context, gateway *ingest.Ingest, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.InfoContext(ctx, "listening", "address", listener.Addr().String())
	group := lifecycle.New(log)
	group.Go("HTTP", func(ctx context.Context) error {
		return httpserver.Run(ctx, listener, gateway.Handler(), log)
	})
	group.Go("gateway", gateway.Run)
	return group.Run(ctx) //nolint:wrapcheck // names the loop
}
