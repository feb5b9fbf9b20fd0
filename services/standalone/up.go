package standalone

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/build"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/paths"
)

// upOptions are the flags of `freeagent up`.
type upOptions struct {
	out, err io.Writer
	getenv   func(string) string

	host, busListen, dir, readyFile string
	debugListen                     string
	tlsCert, tlsKey                 string
	port                            int
	stageTTL                        map[string]string
	logRetention, sessionTTL        time.Duration
	verbose, json, acceptEmpty      bool
	local                           localWorker
}

// NewUp returns the command `freeagent up`.
func NewUp(out, errs io.Writer, getenv func(string) string) *cobra.Command {
	o := &upOptions{out: out, err: errs, getenv: getenv}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole build farm in this process",
		Long: `Runs the gateway, the scheduler, the artifact service, the monitor and what they need (bus, SQL, object store) in one
process under one data directory. Nothing is to be installed.

The API key is made at the first start and kept in DIR/admin.key, unless FREEAGENT_API_KEY (or the former controller's
CONTROLLER_API_KEY) holds one of at least 16 characters.

It listens on this machine only; --host 0.0.0.0 lets other machines in. Ctrl-C stops it cleanly; whatever ends it, builds
that were acknowledged go on when it is started again.`,
		Example: `  freeagent up --with-worker
  freeagent up --port 8080 --data-dir /srv/freeagent --host 0.0.0.0
  freeagent up --host 0.0.0.0 --bus-listen 0.0.0.0:4222 --tls-cert farm.pem --tls-key farm.key
  freeagent up --with-worker --executor fake         # tries everything out without Node`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if !cmd.Flags().Changed("cancel-grace") {
				if o.local.grace, err = process.GraceSetting(o.getenv("FREEAGENT_CANCEL_GRACE")); err != nil {
					return cli.Usage("%w", err)
				}
			}
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.port, "port", 3000, "port of the HTTP API; 0 picks a free one")
	f.StringVar(&o.host, "host", "127.0.0.1", "address to listen on; 0.0.0.0 for every network this machine is in")
	f.StringVar(&o.busListen, "bus-listen", "", "host:port where workers reach the bus (default: the host, at a free port that is kept)")
	f.StringVar(&o.dir, "data-dir", "", "where everything is kept (FREEAGENT_DATA_DIR; default: the user's data directory)")
	f.BoolVar(&o.acceptEmpty, "accept-empty", false,
		"start on a data directory of which a part is missing, and make it anew and empty (FREEAGENT_ACCEPT_EMPTY); what was in it is lost")
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve HTTP and the bus with TLS: file of the certificate and its chain (FREEAGENT_TLS_CERT_FILE); a renewed one is used without a restart")
	f.StringVar(&o.tlsKey, "tls-key", "", "file of its key (FREEAGENT_TLS_KEY_FILE)")
	f.StringToStringVar(&o.stageTTL, "stage-ttl", nil,
		"silence forgiven in a stage before its build goes to another worker, such as pods=15m; all=… for every stage")
	f.DurationVar(&o.logRetention, "log-retention", artifact.DefaultConfig().LogRetention, "how long after its end a build's log is kept; 0 for ever")
	f.DurationVar(&o.sessionTTL, "session-ttl", ingest.DefaultConfig().SessionTTL, "how long somebody who logs in to the pages stays so")
	f.StringVar(&o.readyFile, "ready-file", "", "write {url, key_file} as JSON here once builds are taken")
	f.StringVar(&o.debugListen, "debug-listen", "", "serve Go's profiles (pprof) here, an address of this machine only such as 127.0.0.1:6060 (FREEAGENT_DEBUG_LISTEN)")
	f.BoolVar(&o.json, "log-json", false, "log in JSON")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	o.local.flags(f)
	return cmd
}

func (o *upOptions) logger() *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.verbose {
		opts.Level = slog.LevelDebug
	}
	if o.json {
		return slog.New(observe.Handler(slog.NewJSONHandler(o.err, opts)))
	}
	return slog.New(observe.Handler(slog.NewTextHandler(o.err, opts)))
}

func (o *upOptions) config() (Config, error) {
	cfg := DefaultConfig()
	cfg.Log = o.logger()
	if cfg.Dir = o.dir; cfg.Dir == "" {
		cfg.Dir = o.getenv("FREEAGENT_DATA_DIR")
	}
	if cfg.Dir == "" {
		dir, err := paths.DataDir(o.getenv)
		if err != nil {
			return cfg, fmt.Errorf("%w; name a data directory with --data-dir", err)
		}
		cfg.Dir = dir
	}
	var err error
	if cfg.AcceptEmpty, err = o.mayBeEmpty(); err != nil {
		return cfg, err
	}
	cfg.TLSCert = cmp.Or(o.tlsCert, o.getenv("FREEAGENT_TLS_CERT_FILE"))
	cfg.TLSKey = cmp.Or(o.tlsKey, o.getenv("FREEAGENT_TLS_KEY_FILE"))
	if cfg.Key = o.getenv("FREEAGENT_API_KEY"); cfg.Key == "" {
		cfg.Key = o.getenv("CONTROLLER_API_KEY")
	}
	if o.port < 0 || o.port > 65535 {
		return cfg, fmt.Errorf("--port %d: want 0 to 65535", o.port)
	}
	ttls, err := stageTTLs(o.stageTTL)
	if err != nil {
		return cfg, err
	}
	cfg.Scheduler.StageTTLs, cfg.Monitor.StageTTLs = ttls, ttls
	if len(o.stageTTL) > 0 { // what v1 workers get by default is longer to begin with
		cfg.Ingest.StageTTLs = ttls
	}
	if err := variables(&cfg, o.getenv); err != nil {
		return cfg, err
	}
	if image := o.getenv("FREEAGENT_BASE_IMAGE"); image != "" {
		cfg.Ingest.BaseImage = image
	}
	if origins := o.getenv("FREEAGENT_STATS_ORIGINS"); origins != "" {
		cfg.Ingest.StatsOrigins = strings.Split(origins, ",")
	}
	if o.logRetention < 0 {
		return cfg, fmt.Errorf("--log-retention %s: want 0 or more", o.logRetention)
	}
	if o.local.logMB < 0 || o.local.logLines < 0 {
		return cfg, fmt.Errorf("--log-limit-mb %d, --log-limit-lines %d: want 0 (the default) or more", o.local.logMB, o.local.logLines)
	}
	cfg.Ingest.LogLimit = loglimit.Limit{Lines: o.local.logLines, Bytes: o.local.logMB << 20}
	cfg.Artifact.LogRetention, cfg.Ingest.SessionTTL = o.logRetention, o.sessionTTL
	cfg.Listen = net.JoinHostPort(o.host, strconv.Itoa(o.port))
	if cfg.BusListen = o.busListen; cfg.BusListen == "" {
		cfg.BusListen = net.JoinHostPort(o.host, "0")
	}
	return cfg, nil
}

// mayBeEmpty reports whether a data directory of which a part is missing is accepted.
func (o *upOptions) mayBeEmpty() (bool, error) {
	text := o.getenv("FREEAGENT_ACCEPT_EMPTY")
	if text == "" || o.acceptEmpty {
		return o.acceptEmpty, nil
	}
	accepted, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("FREEAGENT_ACCEPT_EMPTY=%s: want true or false", text)
	}
	return accepted, nil
}

// stageTTLs are the defaults with what the flag says laid over them; the bus counts whole seconds.
func stageTTLs(flag map[string]string) (map[build.Stage]time.Duration, error) {
	ttls, given := build.DefaultTTLs(), map[build.Stage]time.Duration{}
	for stage, text := range flag {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second || d%time.Second != 0 {
			return nil, fmt.Errorf("--stage-ttl %s=%s: want whole seconds, such as 90s or 15m", stage, text)
		}
		given[build.Stage(stage)] = d
	}
	if all, ok := given["all"]; ok {
		delete(given, "all")
		for stage := range ttls {
			ttls[stage] = all
		}
	}
	maps.Copy(ttls, given)
	return ttls, nil
}

func (o *upOptions) run(ctx context.Context) error {
	began := time.Now()
	cfg, err := o.config()
	if err == nil {
		err = o.local.check()
	}
	if err != nil {
		return cli.Usage("%w", err)
	}
	if o.readyFile != "" { // before the S3 endpoint changes the working directory
		if o.readyFile, err = filepath.Abs(o.readyFile); err != nil {
			return fmt.Errorf("--ready-file: %w", err)
		}
	}
	app, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	parts, err := o.parts(ctx, app, cfg.Log)
	if err != nil {
		return errors.Join(err, app.close())
	}
	readyErr := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = app.Run(ctx, func() {
		if err := o.announce(app, cfg, time.Since(began)); err != nil {
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
	if o.local.enabled {
		part, err := o.local.part(ctx, app, log)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if at := cmp.Or(o.debugListen, o.getenv("FREEAGENT_DEBUG_LISTEN")); at != "" {
		l, err := observe.ListenProfiles(ctx, at)
		if err != nil {
			return nil, err
		}
		log.InfoContext(ctx, "profiles are served", "address", l.Addr().String())
		parts = append(parts, Part{Name: "profiles", Run: func(ctx context.Context) error {
			return httpx.Run(ctx, l, observe.Profiles(), log)
		}})
	}
	return parts, nil
}

// announce tells people, and whoever waits for the file, that builds are taken.
func (o *upOptions) announce(app *App, cfg Config, took time.Duration) error {
	keyAt, keyFile := "FREEAGENT_API_KEY", ""
	if cfg.Key == "" {
		keyFile = paths.AdminKeyFile(app.Dir())
		keyAt = keyFile
	}
	fmt.Fprintf(o.out, "Free Agent is up at %s after %d ms.\n  data     %s\n  API key  %s\n", app.URL(), took.Milliseconds(), app.Dir(), keyAt)
	if !o.local.enabled {
		fmt.Fprintf(o.out, "  worker   none here; start one with: freeagent worker --server %s\n", app.URL())
	}
	fmt.Fprintf(o.out, "Submit an app from its directory: freeagent submit --platform android --follow --server %s\n", app.URL())
	if o.readyFile == "" {
		return nil
	}
	data, err := json.Marshal(map[string]string{"url": app.URL(), "key_file": keyFile})
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	tmp := o.readyFile + ".tmp"
	if err := errors.Join(os.WriteFile(tmp, data, 0o600), os.Rename(tmp, o.readyFile)); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}
