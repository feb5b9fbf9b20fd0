package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

const long = `Runs builds of a Free Agent server on this machine until it is stopped.

To join, it needs the server's address and an API key of scope worker or admin. It keeps its identity in the state
directory and is the same worker after a restart.

The shell executor runs a project's commands as the user that runs this command: give it a user of its own. Builds get a
clean environment (%d variables such as PATH and proxies, npm_config_* without credentials, and the variables of --pass-env),
never the worker's own keys, and a home directory that is removed afterwards.

SIGTERM or Ctrl-C drains: the worker claims no new builds and finishes those that run. After --drain-timeout, or a second
signal, it returns unfinished builds to the queue, and other workers start them again.`

const example = `  # on a build machine
  freeagent worker --server https://builds.example.com --key-file /etc/freeagent/worker.key

  # two builds at once, Android only, in a pool of its own
  freeagent worker --platforms android --pool linux --slots 2

  # give builds the Sentry token (its value is masked in logs)
  SENTRY_AUTH_TOKEN=... freeagent worker --pass-env SENTRY_AUTH_TOKEN

  # try the farm without an app: slow builds, one in ten of which fails
  freeagent worker --executor fake --fake slow=2s,fail=0.1,lines=20`

// IO is what the command uses of its process.
type IO struct {
	// Getenv is os.Getenv.
	Getenv func(string) string
	// Stderr gets the worker's own log.
	Stderr io.Writer
}

// New returns the command "worker".
func New(streams IO) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "worker", Short: "Run builds on this machine",
		Long: fmt.Sprintf(long, len(shell.Passed())), Example: example,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if !cmd.Flags().Changed("cancel-grace") {
				if o.grace, err = process.GraceSetting(streams.Getenv("FREEAGENT_CANCEL_GRACE")); err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
			}
			return run(cmd.Context(), o, streams)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", streams.Getenv("FREEAGENT_URL"), "address of the server (FREEAGENT_URL)")
	f.StringVar(&o.keyFile, "key-file", streams.Getenv("FREEAGENT_API_KEY_FILE"),
		"file with the API key to join with (FREEAGENT_API_KEY_FILE); or the key itself in FREEAGENT_WORKER_KEY or FREEAGENT_API_KEY")
	f.StringVar(&o.name, "name", hostName(), "name of this worker in lists and logs")
	f.StringVar(&o.bus, "bus", streams.Getenv("FREEAGENT_BUS_URL"), "address of the bus, such as a region's leaf node (FREEAGENT_BUS_URL); default: the address that the server sends")
	f.StringVar(&o.pool, "pool", "", `pool whose builds it runs (default "default")`)
	f.StringSliceVar(&o.platforms, "platforms", nil, "platforms that it builds: ios, android (default both)")
	f.IntVar(&o.slots, "slots", 1, "builds at once")
	f.StringVar(&o.stateDir, "state-dir", defaultStateDir(streams.Getenv), "directory for identity, builds and caches, used by one worker")
	f.StringVar(&o.executor, "executor", "shell", "how builds run: shell (commands on this machine) or fake (simulated)")
	f.StringVar(&o.fake, "fake", "", "options of the fake executor: "+fake.Help)
	f.DurationVar(&o.drain, "drain-timeout", 10*time.Minute, "time for running builds to finish after a signal")
	f.DurationVar(&o.grace, "cancel-grace", process.DefaultGrace,
		"time between SIGTERM and SIGKILL for a build that is cancelled (FREEAGENT_CANCEL_GRACE)")
	f.StringSliceVar(&o.passEnv, "pass-env", nil, "names of additional environment variables for builds")
	f.Int64Var(&o.logMB, "log-limit-mb", buildlog.DefaultBytes>>20, "largest log of a build in MB; of what exceeds it only the last lines are kept")
	f.Int64Var(&o.logLines, "log-limit-lines", buildlog.DefaultLines, "longest log of a build in lines; of what exceeds it only the last lines are kept")
	f.DurationVar(&o.telemetry, "telemetry-every", worker.DefaultTelemetryEvery, "interval of CPU, memory and disk samples of a build; 0 disables them")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log every detail")
	return cmd
}

func run(ctx context.Context, o options, streams IO) error {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(streams.Stderr, &slog.HandlerOptions{Level: level}))
	key, err := o.key(streams.Getenv)
	if err != nil {
		return err
	}
	if o.server == "" {
		return fmt.Errorf("%w: no server given. Set --server or FREEAGENT_URL", errUsage)
	}
	ca := streams.Getenv("FREEAGENT_CA_FILE")
	secure, err := tlsfiles.Client(ca, "", "")
	if err != nil {
		return fmt.Errorf("%w: FREEAGENT_CA_FILE: %w", errUsage, err)
	}
	transport, err := tlsfiles.HTTP(ca)
	if err != nil {
		return fmt.Errorf("%w: FREEAGENT_CA_FILE: %w", errUsage, err)
	}
	gateway, err := api.New(api.Config{BaseURL: o.server, Key: key, Transport: transport})
	if err != nil {
		return err
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	executor, err := o.newExecutor(ctx, cfg.StateDir, log)
	if err != nil {
		return err
	}
	w, err := worker.New(cfg, worker.Deps{Gateway: gateway, Executor: executor, Log: log, TLS: secure})
	if err != nil {
		return err
	}
	return untilSignalled(ctx, w)
}

// untilSignalled drains at the first signal and releases unfinished builds at the second.
func untilSignalled(ctx context.Context, w *worker.Worker) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	for n := 0; ; n++ {
		select {
		case err := <-ended:
			return err
		case <-signals:
			if n == 0 {
				w.Drain()
			} else {
				w.Release()
			}
		}
	}
}
