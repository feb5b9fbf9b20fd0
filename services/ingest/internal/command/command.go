package command

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// Run runs the program until ctx ends. It returns nil after a clean stop.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[settings]{
		Name: "ingest", About: about, Defaults: defaults(), Run: serve, Check: settings.check,
	}.Main(ctx, args, environ, stdout, stderr)
}

// serve connects, runs and closes in reverse order. The gateway stops before HTTP does: it ends the
// streams, and HTTP waits for all other requests.
func serve(ctx context.Context, s settings, log *slog.Logger) (err error) {
	cfg, err1 := s.config()
	deps, err2 := s.deps()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	db, nc, closeBoth, err := s.Open(ctx, "ingest", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBoth()) }()
	deps.DB, deps.Conn, deps.Log = db, nc, log
	gateway, err := ingest.New(ctx, cfg, deps)
	if err != nil {
		return err
	}
	at := daemon.Listen{Address: s.Listen, Cert: s.Cert, Key: s.Key, Health: s.Health, Stopping: s.Stopping}
	return daemon.Serve(ctx, at, gateway.Handler(), daemon.Probes{Ready: gateway.Ready, Healthy: gateway.Check}, gateway.Run, log)
}
