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

const long = `Takes builds from a Free Agent server and runs them on this machine, until it is stopped.

It needs the server's address and, to join, an API key of scope worker or admin. The identity that it gets is kept in
the state directory and used again at the next start.

The shell executor runs a project's commands as the user that this command runs as: give it a user of its own. Builds see a
scrubbed environment (%d variables such as PATH and proxies, npm_config_* without credentials, and what --pass-env names),
never the worker's own keys, and a home directory that is removed afterwards.

SIGTERM or Ctrl-C drains: nothing new is taken, running builds may finish. After --drain-timeout, or a second signal, they
are handed back to the queue unharmed.`

const example = `  # on a build machine
  freeagent worker --server https://builds.example.com --key-file /etc/freeagent/worker.key

  # two builds at once, Android only, in a pool of its own
  freeagent worker --platforms android --pool linux --slots 2

  # builds may read the Sentry token (and its value is masked in logs)
  SENTRY_AUTH_TOKEN=... freeagent worker --pass-env SENTRY_AUTH_TOKEN

  # try the farm without an app: slow builds of which one in ten fails
  freeagent worker --executor fake --fake slow=2s,fail=0.1,lines=20`

// IO is what the command takes from its process.
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
	f.StringVar(&o.name, "name", hostName(), "what people call this worker")
	f.StringVar(&o.bus, "bus", streams.Getenv("FREEAGENT_BUS_URL"), "address of the bus, such as that of a region's leaf node, instead of the one the farm gives")
	f.StringVar(&o.pool, "pool", "", `pool that it takes builds of (default "default")`)
	f.StringSliceVar(&o.platforms, "platforms", nil, "platforms that it builds: ios, android (default both)")
	f.IntVar(&o.slots, "slots", 1, "builds at once")
	f.StringVar(&o.stateDir, "state-dir", defaultStateDir(streams.Getenv), "directory for identity, builds and caches; one worker each")
	f.StringVar(&o.executor, "executor", "shell", "how builds run: shell (commands on this machine) or fake (played)")
	f.StringVar(&o.fake, "fake", "", "knobs of the fake executor: "+fake.Help)
	f.DurationVar(&o.drain, "drain-timeout", 10*time.Minute, "how long running builds may finish after a signal")
	f.DurationVar(&o.grace, "cancel-grace", process.DefaultGrace,
		"time between SIGTERM and SIGKILL for a build that is cancelled (FREEAGENT_CANCEL_GRACE)")
	f.StringSliceVar(&o.passEnv, "pass-env", nil, "names of more variables that builds get")
	f.Int64Var(&o.logMB, "log-limit-mb", buildlog.DefaultBytes>>20, "largest log of a build; beyond it only the last lines are kept")
	f.Int64Var(&o.logLines, "log-limit-lines", buildlog.DefaultLines, "most lines of a build's log; beyond them only the last are kept")
	f.DurationVar(&o.telemetry, "telemetry-every", worker.DefaultTelemetryEvery, "how often CPU, memory and disk of a build are measured; 0 is never")
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
		return fmt.Errorf("%w: which server? Give --server or FREEAGENT_URL", errUsage)
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

// untilSignalled drains at the first signal and hands back at the second.
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
				w.HandBack()
			}
		}
	}
}
