package command

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// settings are the environment's variables.
type settings struct {
	Listen string `env:"FREEAGENT_MONITOR_LISTEN" help:"address of /livez and /readyz"`
	daemon.Connections
	daemon.Stopping
	Grace     time.Duration                 `env:"FREEAGENT_GRACE" help:"wait between the expiry of a heartbeat and the verdict"`
	WorkerTTL time.Duration                 `env:"FREEAGENT_WORKER_SILENCE" help:"silence forgiven to a worker before it counts as offline"`
	Samples   time.Duration                 `env:"FREEAGENT_KEEP_SAMPLES" help:"how long samples of telemetry are kept as they came; then they become sums by the minute"`
	Minutes   time.Duration                 `env:"FREEAGENT_KEEP_SAMPLE_MINUTES" help:"how long the sums by the minute are kept"`
	Reports   time.Duration                 `env:"FREEAGENT_KEEP_REPORTS" help:"how long diagnostic reports are kept"`
	StageTTLs map[build.Stage]time.Duration `env:"FREEAGENT_STAGE_TTLS" envKeyValSeparator:"=" help:"silence forgiven by stage, such as install=5m,pods=10m, as the scheduler has it; stages not named keep theirs"`
}

func defaults() settings {
	c := monitor.DefaultConfig()
	return settings{
		Listen: "127.0.0.1:3003", Grace: c.Grace, WorkerTTL: c.WorkerTTL,
		Samples: c.KeepSamples, Minutes: c.KeepMinutes, Reports: c.KeepReports,
	}
}

func (s settings) config() monitor.Config {
	c := monitor.DefaultConfig()
	c.Grace, c.WorkerTTL = s.Grace, s.WorkerTTL
	c.KeepSamples, c.KeepMinutes, c.KeepReports = s.Samples, s.Minutes, s.Reports
	maps.Copy(c.StageTTLs, s.StageTTLs)
	return c
}

// Run is the whole program: it returns nil after a clean stop, which ctx's end asks for.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[settings]{
		Name: "monitor", Defaults: defaults(), Run: serve,
		About: "Runs one replica of the monitor until SIGTERM: it notices attempts and workers that went silent.",
		Check: func(s settings) error {
			return errors.Join(s.Connections.Check(), s.Stopping.Check(), s.config().Validate())
		},
	}.Main(ctx, args, environ, stdout, stderr)
}

func serve(ctx context.Context, s settings, log *slog.Logger) (err error) {
	db, nc, closeBoth, err := s.Open(ctx, "monitor", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBoth()) }()
	service, err := monitor.New(ctx, s.config(), monitor.Deps{DB: db, Conn: nc, Log: log})
	if err != nil {
		return err
	}
	return daemon.Serve(ctx, daemon.Listen{Address: s.Listen, Stopping: s.Stopping}, daemon.Health(daemon.Probes{Ready: service.Ready}), daemon.Probes{}, service.Run, log)
}
