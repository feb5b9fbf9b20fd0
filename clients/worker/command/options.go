package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/labels"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/build"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/observe"
)

// errUsage means that the command line or the environment is invalid.
var errUsage error = usageError{errors.New("usage")}

// usageError makes the program exit with the code of a usage error, which it recognises by WrongUsage.
type usageError struct{ error }

// WrongUsage marks a usage error.
func (usageError) WrongUsage() bool { return true }

// Building are the settings of how a worker builds; the worker inside of `freeagent up` has them, too.
type Building struct {
	Executor  string        `env:"FREEAGENT_WORKER_EXECUTOR" flag:"executor" help:"executor of builds: shell (processes of this machine) or fake (simulated)"`
	Fake      string        `env:"FREEAGENT_WORKER_FAKE" flag:"fake" help:"options of the fake executor, such as slow=2s,fail=0.1,lines=20,size=4KiB..20MiB; see docs/worker.md"`
	Labels    []string      `env:"FREEAGENT_WORKER_LABELS" flag:"label" help:"labels KEY=VALUE of the worker, by comma or repeated, which builds can require; it has labels of its system and tools, too"`
	Slots     int           `env:"FREEAGENT_WORKER_SLOTS" flag:"slots" help:"number of builds at once, 1 to 64"`
	Drain     time.Duration `env:"FREEAGENT_WORKER_DRAIN_TIMEOUT" flag:"drain-timeout" help:"time for running builds to finish after SIGTERM before they return to the queue"`
	Grace     time.Duration `env:"FREEAGENT_CANCEL_GRACE_PERIOD" help:"time between SIGTERM and SIGKILL for the processes of a cancelled build"`
	PassEnv   []string      `env:"FREEAGENT_WORKER_PASS_ENV" flag:"pass-env" help:"names of additional environment variables for builds, by comma; logs do not show their values"`
	WorkDir   string        `env:"FREEAGENT_WORKER_WORK_DIR" flag:"work-dir" help:"directory in which builds run, short and without spaces; the state directory if it is such, else one in the home directory"`
	PassPlain []string      `env:"FREEAGENT_WORKER_PASS_ENV_PLAIN" flag:"pass-env-plain" help:"names of additional environment variables for builds, by comma, whose values logs may show"`
	Trusted   []string      `env:"FREEAGENT_WORKER_TRUSTED_BRANCHES" flag:"trusted-branches" help:"patterns of branches, by comma, whose caches all builds of their project read; builds of other branches do not write to them"`
	CacheGB   int           `env:"FREEAGENT_WORKER_CACHE_GB" flag:"cache-gb" help:"gigabytes of caches that builds keep for later builds; the least recently used go first"`
	Telemetry time.Duration `env:"FREEAGENT_TELEMETRY_INTERVAL" help:"interval of CPU, memory and disk samples of a build; none if 0"`
	LogLimit  loglimit.Limit
}

// DefaultBuilding returns the defaults of a worker of its own.
func DefaultBuilding() Building {
	return Building{
		Executor: "shell", Slots: 1, Drain: 10 * time.Minute, Grace: process.DefaultGrace, Telemetry: worker.DefaultTelemetryEvery,
		Trusted: []string{"main", "master"}, CacheGB: 20,
		LogLimit: loglimit.Limit{}.OrDefault(),
	}
}

// Config returns the worker's configuration without name and state directory.
func (b Building) Config() worker.Config {
	own, _ := build.ParseLabels(b.Labels) // Validate names its errors
	return worker.Config{
		Labels: own, Slots: b.Slots, DrainTimeout: b.Drain, TelemetryEvery: b.Telemetry,
		LogLimits: buildlog.Limits{Lines: b.LogLimit.Lines, Bytes: b.LogLimit.Bytes},
	}
}

// Validate names every fault at once.
func (b Building) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	need(b.Executor == "shell" || b.Executor == "fake", "executor must be shell or fake (got %q)", b.Executor)
	need(b.Fake == "" || b.Executor != "shell", "options of the fake executor (--fake) need --executor fake")
	if _, err := build.ParseLabels(b.Labels); err != nil {
		faults = append(faults, fmt.Errorf("label: %w", err))
	}
	need(b.Slots > 0, "slots must be positive (got %d)", b.Slots)
	if b.WorkDir != "" {
		faults = append(faults, shell.CheckWorkDir(b.WorkDir))
	}
	need(b.CacheGB > 0, "gigabytes of caches must be positive (got %d)", b.CacheGB)
	faults = append(faults, shell.CheckPassEnv(b.PassEnv, b.PassPlain))
	need(b.Grace >= 0, "cancel grace period must not be negative (got %s)", b.Grace)
	if _, err := fake.Parse(b.Fake); err != nil {
		faults = append(faults, fmt.Errorf("--fake: %w", err))
	}
	return errors.Join(faults...)
}

// Detect returns what finds the labels of the machine. Simulated builds use none of its tools.
func (b Building) Detect() func(context.Context) build.Labels {
	if b.Executor == "shell" {
		return labels.Detect
	}
	return func(context.Context) build.Labels { return labels.System() }
}

// NewExecutor returns the executor, which keeps its files in dir, the state directory, if builds can run there.
func (b Building) NewExecutor(ctx context.Context, dir string, log *slog.Logger) (runtime.Executor, error) {
	if b.Executor == "shell" {
		work, err := shell.ChooseWorkDir(b.WorkDir, dir, os.Getenv)
		if err != nil {
			return nil, err
		}
		if work != dir {
			log.InfoContext(ctx, "builds run outside of the state directory", "work_dir", work, "state_dir", dir)
		}
		return shell.New(ctx, shell.Config{
			Dir: work, StateDir: dir, PassEnv: b.PassEnv, PassEnvPlain: b.PassPlain, TrustedBranches: b.Trusted, CacheBytes: int64(b.CacheGB) << 30,
			CancelGrace: b.Grace, Log: log,
		})
	}
	options, err := fake.Parse(b.Fake)
	if err != nil {
		return nil, err
	}
	return fake.New(dir, options, nil)
}

// options are the settings of `freeagent worker`.
type options struct {
	Server    string   `env:"FREEAGENT_URL" flag:"server" help:"URL of the server"`
	WorkerKey string   `env:"FREEAGENT_WORKER_KEY" flag:"key-file" secret:"true" help:"API key to join with, of scope worker or admin"`
	APIKey    string   `env:"FREEAGENT_API_KEY" secret:"true" help:"API key to join with if FREEAGENT_WORKER_KEY is not set"`
	CA        string   `env:"FREEAGENT_CA_FILE" help:"CA certificates that verify the server and the bus, instead of the system's"`
	BusURL    string   `env:"FREEAGENT_BUS_URL" help:"address of the bus, such as that of a region's leaf node, instead of the one that the server gives"`
	Name      string   `env:"FREEAGENT_WORKER_NAME" flag:"name" help:"name of this worker in lists and logs; the host's name if empty"`
	Pool      string   `env:"FREEAGENT_WORKER_POOL" flag:"pool" help:"pool whose builds it runs"`
	Platforms []string `env:"FREEAGENT_WORKER_PLATFORMS" flag:"platforms" help:"platforms that this worker builds, by comma: ios, android; both if empty"`
	StateDir  string   `env:"FREEAGENT_WORKER_STATE_DIR" flag:"state-dir" help:"directory of identity, builds and caches, used by one worker; the user's state directory if empty"`
	Building  Building
	Log       observe.LogSettings
}

func defaults() options {
	return options{Pool: build.DefaultPool, Building: DefaultBuilding(), Log: observe.LogSettings{Format: "text", Level: "info"}}
}

// complete fills in what this machine says.
func (o *options) complete(getenv func(string) string) {
	o.Name = cmp.Or(o.Name, hostName())
	o.StateDir = cmp.Or(o.StateDir, defaultStateDir(getenv))
}

// check names every fault that shows without connecting.
func (o options) check() error {
	var faults []error
	if o.key() == "" {
		faults = append(faults, errors.New("an API key is needed to join. Set --key-file, FREEAGENT_WORKER_KEY or FREEAGENT_API_KEY"))
	}
	if o.Server == "" {
		faults = append(faults, errors.New("no server given. Set --server or FREEAGENT_URL"))
	}
	_, err := o.config()
	return errors.Join(append(faults, err, o.Building.Validate(), o.Log.Check())...)
}

func (o options) key() string { return cmp.Or(o.WorkerKey, o.APIKey) }

func (o options) config() (worker.Config, error) {
	dir, err := filepath.Abs(o.StateDir)
	if err != nil || o.StateDir == "" {
		return worker.Config{}, errors.New("no state directory given. Set --state-dir")
	}
	cfg := o.Building.Config()
	cfg.Name, cfg.Pool, cfg.StateDir, cfg.BusURL = o.Name, o.Pool, dir, o.BusURL
	for _, p := range o.Platforms {
		platform, err := build.ParsePlatform(strings.TrimSpace(p))
		if err != nil {
			return cfg, fmt.Errorf("platforms: %w", err)
		}
		cfg.Platforms = append(cfg.Platforms, platform)
	}
	return cfg, cfg.Validate()
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "worker"
	}
	return name
}

// defaultStateDir returns the system's directory for state, empty if there is none.
func defaultStateDir(getenv func(string) string) string {
	home := getenv("HOME")
	switch {
	case getenv("STATE_DIRECTORY") != "": // systemd
		return getenv("STATE_DIRECTORY")
	case goruntime.GOOS == "darwin" && home != "":
		return filepath.Join(home, "Library", "Application Support", "FreeAgent", "worker")
	case getenv("XDG_STATE_HOME") != "":
		return filepath.Join(getenv("XDG_STATE_HOME"), "freeagent", "worker")
	case home != "":
		return filepath.Join(home, ".local", "state", "freeagent", "worker")
	}
	return ""
}
