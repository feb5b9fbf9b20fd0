package command

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/expo-free-agent/freeagent/services/scheduler"
	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// settings of the scheduler as a process of its own.
type settings struct {
	Listen string `env:"FREEAGENT_SCHEDULER_LISTEN" help:"address of the scheduler's /livez and /readyz"`
	daemon.Connections
	daemon.Stopping
	Replicas  int `env:"FREEAGENT_STREAM_REPLICAS" help:"number of replicas of each stream: 1, or 3 or 5 on a cluster"`
	Scheduler scheduler.Config
}

func defaults() settings {
	c := scheduler.DefaultConfig()
	return settings{Listen: "127.0.0.1:3001", Replicas: c.Replicas, Scheduler: c}
}

func (s settings) config() scheduler.Config {
	s.Scheduler.Replicas = s.Replicas
	return s.Scheduler
}

// Run runs the program until ctx ends and returns nil after a clean stop.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[settings]{
		Name: "scheduler", Defaults: defaults(), Run: serve,
		About: "Runs one replica of the scheduler until SIGTERM: it owns the builds, decides what runs next and makes the streams of the bus.",
		Check: func(s settings) error {
			return errors.Join(s.Connections.Check(), s.Stopping.Check(), s.config().Validate())
		},
	}.Main(ctx, args, environ, stdout, stderr)
}

func serve(ctx context.Context, s settings, log *slog.Logger) (err error) {
	db, nc, closeBoth, err := s.Open(ctx, "scheduler", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBoth()) }()
	service, err := scheduler.New(ctx, s.config(), scheduler.Deps{DB: db, Conn: nc, Log: log})
	if err != nil {
		return err
	}
	return daemon.Serve(ctx, daemon.Listen{Address: s.Listen, Stopping: s.Stopping}, daemon.Health(daemon.Probes{Ready: service.Ready}), daemon.Probes{}, service.Run, log)
}
