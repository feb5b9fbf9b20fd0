package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// localWorker is the worker of `freeagent up --with-worker`: the same agent as everywhere, with the same rights. It talks to
// the gateway and the bus without a socket, so no certificate has to name this machine's own addresses.
type localWorker struct {
	enabled        bool
	executor, fake string
	slots          int
	drain          time.Duration
	telemetry      time.Duration
	passEnv        []string
	grace          time.Duration

	logMB, logLines int64
}

func (l *localWorker) flags(f *pflag.FlagSet) {
	f.BoolVar(&l.enabled, "with-worker", false, "also run a worker on this machine")
	f.StringVar(&l.executor, "executor", "shell", "how the local worker builds: shell (processes of this machine) or fake (for trying out)")
	f.StringVar(&l.fake, "fake", "", "knobs of the fake executor: "+fake.Help)
	f.IntVar(&l.slots, "slots", 1, "builds at once on the local worker")
	f.DurationVar(&l.drain, "drain-timeout", 10*time.Second, "how long a stop waits for the local worker's builds before it hands them back")
	f.Int64Var(&l.logMB, "log-limit-mb", buildlog.DefaultBytes>>20, "largest log of a build, on the local worker (which keeps its last lines, too) and of workers of API v1")
	f.Int64Var(&l.logLines, "log-limit-lines", buildlog.DefaultLines, "most lines of such a log")
	f.DurationVar(&l.telemetry, "telemetry-every", worker.DefaultTelemetryEvery, "how often the local worker measures what a build uses; 0 is never")
	f.DurationVar(&l.grace, "cancel-grace", process.DefaultGrace, "time between SIGTERM and SIGKILL for a build of the local worker that is cancelled (FREEAGENT_CANCEL_GRACE)")
	f.StringSliceVar(&l.passEnv, "pass-env", nil, "variables of this environment that builds get besides the usual ones")
}

// check returns what is wrong with the flags. Those of a worker that is not wanted must be right, too: they are a mistake in any case.
func (l *localWorker) check() error {
	if l.executor != "shell" && l.executor != "fake" {
		return fmt.Errorf("--executor %s: want shell or fake", l.executor)
	}
	if l.fake != "" && l.executor != "fake" {
		return errors.New("--fake goes with --executor fake")
	}
	if _, err := fake.Parse(l.fake); err != nil {
		return fmt.Errorf("--fake: %w", err)
	}
	if l.slots < 1 {
		return fmt.Errorf("--slots %d: want at least 1", l.slots)
	}
	if l.grace < 0 {
		return fmt.Errorf("--cancel-grace %s: want at least 0", l.grace)
	}
	// The name and the directory are ours, and come later.
	return worker.Config{Name: "local", Slots: l.slots, StateDir: "/", DrainTimeout: l.drain, TelemetryEvery: l.telemetry}.Validate()
}

// part makes the worker; it joins once the server answers.
func (l *localWorker) part(ctx context.Context, a *App, log *slog.Logger) (Part, error) {
	dir := filepath.Join(a.Dir(), "worker")
	executor, err := l.newExecutor(ctx, dir, log)
	if err != nil {
		return Part{}, err
	}
	gateway, err := api.New(api.Config{
		BaseURL: "http://localhost", Key: a.Key(), Transport: &http.Transport{DialContext: a.local.DialContext, DisableCompression: true},
	})
	if err != nil {
		return Part{}, err
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "local"
	}
	w, err := worker.New(worker.Config{Name: name, Slots: l.slots, StateDir: dir, DrainTimeout: l.drain, TelemetryEvery: l.telemetry,
		LogLimits: buildlog.Limits{Lines: l.logLines, Bytes: l.logMB << 20}},
		worker.Deps{Gateway: gateway, Executor: executor, Log: log, Dial: a.dialInside})
	if err != nil {
		return Part{}, err
	}
	return Part{Name: "worker", Run: w.Run}, nil
}

// dialInside connects to the bus of this process.
func (a *App) dialInside(cfg bus.Config, log *slog.Logger) (*nats.Conn, error) {
	cfg.URL, cfg.TLS, cfg.InProcess = "", nil, a.bus.InProcess()
	return bus.Connect(cfg, log)
}

func (l *localWorker) newExecutor(ctx context.Context, dir string, log *slog.Logger) (runtime.Executor, error) {
	switch l.executor {
	case "shell":
		return shell.New(ctx, shell.Config{Dir: dir, PassEnv: l.passEnv, CancelGrace: l.grace, Log: log})
	case "fake":
		opts, err := fake.Parse(l.fake)
		if err != nil {
			return nil, err
		}
		return fake.New(dir, opts, nil)
	default:
		return nil, fmt.Errorf("--executor %s: want shell or fake", l.executor)
	}
}
