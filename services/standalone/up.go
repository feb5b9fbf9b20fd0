package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/paths"
	"github.com/expo-free-agent/freeagent/shared/settings"
)

// upOptions are what `freeagent up` was started with.
type upOptions struct {
	out, err io.Writer
	environ  []string
	settings upSettings
	set      *command.Settings

	// host and port are shorthands for the address of HTTP, verbose for a level; given tells which were on the command line.
	host    string
	port    int
	verbose bool
	given   func(flag string) bool
}

// NewUp returns the command `freeagent up`.
func NewUp(out, errs io.Writer, environ []string) *cobra.Command {
	_, cmd := newUp(out, errs, environ)
	return cmd
}

func newUp(out, errs io.Writer, environ []string) (*upOptions, *cobra.Command) {
	o := &upOptions{out: out, err: errs, environ: environ, settings: upDefaults()}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole build farm in this process",
		Long: `Runs the gateway, the scheduler, the artifact service, the monitor and what they need (bus, SQL, object store) in one
process under one data directory. You need to install nothing else.

The API key is made at the first start and kept in DIR/admin.key, unless FREEAGENT_API_KEY (or the former controller's
CONTROLLER_API_KEY) holds one of at least 16 characters.

It listens on this machine only; --host 0.0.0.0 lets other machines in. Ctrl-C stops it cleanly; whatever ends it, builds
that were acknowledged continue when it starts again.

` + settings.Sources + `--list-settings lists all settings, those of the services included.`,
		Example: `  freeagent up --with-worker
  freeagent up --port 8080 --data-dir /srv/freeagent --host 0.0.0.0
  freeagent up --host 0.0.0.0 --bus-listen 0.0.0.0:4222 --tls-cert-file farm.pem --tls-key-file farm.key
  freeagent up --config /etc/freeagent/up.conf --check-config
  freeagent up --with-worker --executor fake         # tries everything out without Node`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.set = command.NewSettings(cmd, settings.New("freeagent up", &o.settings, foreign()))
	f := cmd.Flags()
	for name, rare := range rareFlags() {
		f.Lookup(name).Hidden = rare || f.Lookup(name).Hidden
	}
	f.StringVar(&o.host, "host", "127.0.0.1", "host of the HTTP API's address; 0.0.0.0 for every network of this machine")
	f.IntVar(&o.port, "port", 3000, "port of the HTTP API's address; 0 picks a free one")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "the same as --log-level debug")
	o.given = f.Changed
	return o, cmd
}

func (o *upOptions) run(ctx context.Context) error {
	began := time.Now()
	if o.set.Listed(o.out) {
		return nil
	}
	if err := o.load(); err != nil {
		return cli.Usage("%w", err)
	}
	log, err := o.settings.Logging.Logger(o.err)
	if err != nil {
		return cli.Usage("%w", err)
	}
	o.set.LogWarnings(ctx, log)
	if o.set.Checked(o.out) {
		return nil
	}
	o.settings.Log = log
	if o.settings.ReadyFile != "" { // before the S3 endpoint changes the working directory
		if o.settings.ReadyFile, err = filepath.Abs(o.settings.ReadyFile); err != nil {
			return fmt.Errorf("--ready-file: %w", err)
		}
	}
	app, err := Open(ctx, o.settings.Config)
	if err != nil {
		return err
	}
	parts, err := o.parts(ctx, app, log)
	if err != nil {
		return errors.Join(err, app.close())
	}
	return o.serve(ctx, app, parts, began)
}

// serve runs the installation until ctx ends, or until it could not be announced.
func (o *upOptions) serve(ctx context.Context, app *App, parts []Part, began time.Time) error {
	readyErr := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := app.Run(ctx, func() {
		if err := o.announce(app, time.Since(began)); err != nil {
			readyErr <- err
			cancel()
		}
	}, parts...)
	select {
	case e := <-readyErr:
		return errors.Join(e, err)
	default:
		return err
	}
}

// parts are what runs besides the services: the local worker and the profiles, if they are wanted.
func (o *upOptions) parts(ctx context.Context, app *App, log *slog.Logger) (parts []Part, err error) {
	if o.settings.WithWorker {
		part, err := localWorker(ctx, app, o.settings.Worker, log)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if at := o.settings.Logging.Debug; at != "" {
		l, err := observe.ListenProfiles(ctx, at)
		if err != nil {
			return nil, err
		}
		log.InfoContext(ctx, "serving profiles", "address", l.Addr().String())
		parts = append(parts, Part{Name: "profiles", Run: func(ctx context.Context) error {
			return httpx.Run(ctx, l, observe.Profiles(), log)
		}})
	}
	return parts, nil
}

// announce says that builds are accepted, to people and in the ready file.
func (o *upOptions) announce(app *App, took time.Duration) error {
	keyAt, keyFile := "FREEAGENT_API_KEY", ""
	if o.settings.Key == "" {
		keyFile = paths.AdminKeyFile(app.Dir())
		keyAt = keyFile
	}
	fmt.Fprintf(o.out, "Free Agent is up at %s after %d ms.\n  data     %s\n  API key  %s\n", app.URL(), took.Milliseconds(), app.Dir(), keyAt)
	if !o.settings.WithWorker {
		fmt.Fprintf(o.out, "  worker   none here; start one with: freeagent worker --server %s\n", app.URL())
	}
	fmt.Fprintf(o.out, "Submit an app from its directory: freeagent submit --platform android --follow --server %s\n", app.URL())
	if o.settings.ReadyFile == "" {
		return nil
	}
	data, err := json.Marshal(map[string]string{"url": app.URL(), "key_file": keyFile})
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	tmp := o.settings.ReadyFile + ".tmp"
	if err := errors.Join(os.WriteFile(tmp, data, 0o600), os.Rename(tmp, o.settings.ReadyFile)); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}
