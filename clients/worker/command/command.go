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

const long = `Takes builds from a Free Agent server and runs them on this machine, until it is stopped.

It needs the server's address and, to join, an API key of scope worker or admin. The identity that it gets is kept in
the state directory and used again at the next start.

The shell executor runs a project's commands as the user that this command runs as: give it a user of its own. Builds see a
scrubbed environment (%d variables such as PATH and proxies, npm_config_* without credentials, and what --pass-env names),
never the worker's own keys, and a home directory that is removed afterwards.

SIGTERM or Ctrl-C drains: nothing new is taken, running builds may finish. After --drain-timeout, or a second signal, they
are released to other workers.

%s`

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
