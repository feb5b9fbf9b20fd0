package command

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// settings are the environment's variables.
type settings struct {
	Listen string `env:"FREEAGENT_SCHEDULER_LISTEN" help:"address of /livez and /readyz"`
	daemon.Connections
	daemon.Stopping
	Replicas     int                           `env:"FREEAGENT_STREAM_REPLICAS" help:"copies of each stream: 1, or 3 or 5 on a cluster"`
	MaxWaiting   int64                         `env:"FREEAGENT_MAX_WAITING" help:"builds that may wait; a submit beyond is refused"`
	MaxAttempts  int32                         `env:"FREEAGENT_MAX_ATTEMPTS" help:"how often a build is handed out before failures of the infrastructure become its own"`
	Backoff      time.Duration                 `env:"FREEAGENT_RETRY_BACKOFF" help:"wait before a second attempt, doubled with each further one"`
	BuildTimeout time.Duration                 `env:"FREEAGENT_BUILD_TIMEOUT" help:"ends a build whatever it does"`
	MaxTimeout   time.Duration                 `env:"FREEAGENT_MAX_BUILD_TIMEOUT" help:"the longest timeout that a project or a build's profile may ask for"`
	MaxTTL       time.Duration                 `env:"FREEAGENT_MAX_STAGE_TTL" help:"the longest silence in a stage that a project or a build's profile may ask for, at most 1h"`
	WaitAlert    time.Duration                 `env:"FREEAGENT_WAIT_ALERT" help:"after how long of waiting an event and the build's log say so; 0 is never"`
	PriorityAge  time.Duration                 `env:"FREEAGENT_PRIORITY_AGE" help:"how long a build waits until its priority counts as one higher; 0 means never"`
	MaxPriority  int32                         `env:"FREEAGENT_MAX_PRIORITY" help:"highest priority that a submit gets, -100 to 100, for projects without a rule"`
	StageTTLs    map[build.Stage]time.Duration `env:"FREEAGENT_STAGE_TTLS" envKeyValSeparator:"=" help:"silence forgiven by stage in whole seconds, such as install=5m,pods=10m; stages not named keep theirs"`
	Retention
	Streams
}

func defaults() settings {
	c := scheduler.DefaultConfig()
	return settings{
		Listen: "127.0.0.1:3001", Replicas: c.Replicas, MaxWaiting: c.MaxWaiting, MaxAttempts: c.MaxAttempts, Backoff: c.Backoff,
		BuildTimeout: c.BuildTimeout, MaxTimeout: c.MaxBuildTimeout, MaxTTL: c.MaxStageTTL, WaitAlert: c.WaitAlert,
		PriorityAge: c.AgeEvery, MaxPriority: c.MaxPriority,
		Retention: retentionOf(c.Retention),
	}
}

func (s settings) config() scheduler.Config {
	c := scheduler.DefaultConfig()
	c.Replicas, c.MaxWaiting, c.MaxAttempts, c.Backoff, c.BuildTimeout = s.Replicas, s.MaxWaiting, s.MaxAttempts, s.Backoff, s.BuildTimeout
	c.MaxBuildTimeout, c.MaxStageTTL, c.WaitAlert = s.MaxTimeout, s.MaxTTL, s.WaitAlert
	c.AgeEvery, c.MaxPriority = s.PriorityAge, s.MaxPriority
	maps.Copy(c.StageTTLs, s.StageTTLs)
	c.Retention = s.Retention.config()
	c.StreamStorage, c.StreamLimits = s.Streams.config()
	return c
}

// Run is the whole program: it returns nil after a clean stop, which ctx's end asks for.
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
