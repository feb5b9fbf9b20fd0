package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/settings"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

const long = `Runs builds of a Free Agent server on this machine until it is stopped.

To join, it needs the server's address and an API key of scope worker or admin. It keeps its identity in the state
directory and is the same worker after a restart.

The shell executor runs a project's commands as the user that runs this command: give it a user of its own. Builds get a
clean environment (%d variables such as PATH and proxies, npm_config_* without credentials, and the variables of --pass-env
and --pass-env-plain), never the worker's own keys, and a home directory that is removed afterwards.

SIGTERM or Ctrl-C drains: the worker claims no new builds and finishes those that run. After --drain-timeout, or a second
signal, it returns unfinished builds to the queue, and other workers start them again.

%s`

const example = `  # on a build machine
  freeagent worker --server https://builds.example.com --key-file /etc/freeagent/worker.key

  # two builds at once, Android only, in a pool of its own
  freeagent worker --platforms android --pool linux --slots 2

  # give builds the Sentry token (its value is masked in logs) and a setting (its value is not)
  SENTRY_AUTH_TOKEN=... SENTRY_ORG=acme freeagent worker --pass-env SENTRY_AUTH_TOKEN --pass-env-plain SENTRY_ORG

  # try the farm without an app: slow builds, one in ten of which fails
  freeagent worker --executor fake --fake slow=2s,fail=0.1,lines=20`

// IO is what the command uses of its process.
type IO struct {
	// Environ is os.Environ().
	Environ []string
	// Stdout gets what is asked for, Stderr the worker's own log.
	Stdout, Stderr io.Writer
}

// New returns the command "worker".
func New(streams IO) *cobra.Command {
	o := defaults()
	var set *Settings
	verbose := false
	cmd := &cobra.Command{
		Use: "worker", Short: "Run builds on this machine",
		Long: fmt.Sprintf(long, len(shell.Passed()), settings.Sources), Example: example,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if set.Listed(streams.Stdout) {
				return nil
			}
			err := set.Load(streams.Environ)
			o.complete(settings.Getenv(streams.Environ))
			if verbose {
				o.Log.Level = "debug"
			}
			if err := errors.Join(err, o.check()); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			log, err := o.Log.Logger(streams.Stderr)
			if err != nil {
				return err
			}
			set.LogWarnings(cmd.Context(), log)
			if set.Checked(streams.Stdout) {
				return nil
			}
			return run(cmd.Context(), o, log)
		},
	}
	set = NewSettings(cmd, settings.New("freeagent worker", &o, nil))
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "the same as --log-level debug")
	return cmd
}

func run(ctx context.Context, o options, log *slog.Logger) error {
	secure, err := tlsfiles.Client(o.CA, "", "")
	if err != nil {
		return fmt.Errorf("%w: FREEAGENT_CA_FILE: %w", errUsage, err)
	}
	transport, err := tlsfiles.HTTP(o.CA)
	if err != nil {
		return fmt.Errorf("%w: FREEAGENT_CA_FILE: %w", errUsage, err)
	}
	gateway, err := api.New(api.Config{BaseURL: o.Server, Key: o.key(), Transport: transport})
	if err != nil {
		return err
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	executor, err := o.Building.NewExecutor(ctx, cfg.StateDir, log)
	if err != nil {
		return err
	}
	w, err := worker.New(cfg, worker.Deps{Gateway: gateway, Executor: executor, Log: log, TLS: secure, Detect: o.Building.Detect()})
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
