package command

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// Run is the whole program: it returns nil after a clean stop, which ctx's end asks for.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[settings]{
		Name: "artifact", About: about, Defaults: defaults(), Run: serve, Check: settings.check,
	}.Main(ctx, args, environ, stdout, stderr)
}

// serve connects, runs and closes in reverse order.
func serve(ctx context.Context, s settings, log *slog.Logger) (err error) {
	cfg, err := s.withKeys()
	if err != nil {
		return err
	}
	db, nc, closeBoth, err := s.Open(ctx, "artifact", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBoth()) }()
	store, err := s.store(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	service, err := artifact.New(cfg, artifact.Deps{DB: db, Store: store, Conn: nc, Log: log})
	if err != nil {
		return err
	}
	at := daemon.Listen{Address: s.Listen, Cert: s.Cert, Key: s.Key, Health: s.Health, Stopping: s.Stopping}
	return daemon.Serve(ctx, at, service.Handler(), daemon.Probes{Ready: service.CanServe, Healthy: service.Check}, service.Run, log)
}
