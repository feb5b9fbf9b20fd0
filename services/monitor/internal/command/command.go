package command

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/expo-free-agent/freeagent/services/monitor"
	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// settings of the monitor as a process of its own.
type settings struct {
	Listen string `env:"FREEAGENT_MONITOR_LISTEN" help:"address of the monitor's /livez and /readyz"`
	daemon.Connections
	daemon.Stopping
	Monitor monitor.Config
}

// Run runs the program until ctx ends and returns nil after a clean stop.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[settings]{
		Name: "monitor", Defaults: settings{Listen: "127.0.0.1:3003", Monitor: monitor.DefaultConfig()}, Run: serve,
		About: "Runs one replica of the monitor until SIGTERM: it notices attempts and workers whose heartbeats are missing.",
		Check: func(s settings) error {
			return errors.Join(s.Connections.Check(), s.Stopping.Check(), s.Monitor.Validate())
		},
	}.Main(ctx, args, environ, stdout, stderr)
}

func serve(ctx context.Context, s settings, log *slog.Logger) (err error) {
	db, nc, closeBoth, err := s.Open(ctx, "monitor", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBoth()) }()
	service, err := monitor.New(ctx, s.Monitor, monitor.Deps{DB: db, Conn: nc, Log: log})
	if err != nil {
		return err
	}
	return daemon.Serve(ctx, daemon.Listen{Address: s.Listen, Stopping: s.Stopping}, daemon.Health(daemon.Probes{Ready: service.Ready}), daemon.Probes{}, service.Run, log)
}
