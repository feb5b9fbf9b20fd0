package command

import (
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
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// errUsage means that the command line or the environment is invalid.
var errUsage error = usageError{errors.New("usage")}

// usageError makes the program exit with the code of a usage error, which it recognises by WrongUsage.
type usageError struct{ error }

// WrongUsage marks a usage error.
func (usageError) WrongUsage() bool { return true }

type options struct {
	server, bus, keyFile, name, pool, stateDir, executor, fake string
	platforms, passEnv                                         []string
	slots                                                      int
	logMB, logLines                                            int64
	drain, telemetry, grace                                    time.Duration
	verbose                                                    bool
}

// key reads the API key from the file named by a flag or variable, or from the environment. It is never an argument, since the list of
// processes shows those.
func (o options) key(getenv func(string) string) (string, error) {
	if o.keyFile != "" {
		data, err := os.ReadFile(o.keyFile)
		if err != nil {
			return "", fmt.Errorf("read the API key: %w", err)
		}
		if key := strings.TrimSpace(string(data)); key != "" {
			return key, nil
		}
		return "", fmt.Errorf("%w: the key file %s is empty", errUsage, o.keyFile)
	}
	for _, name := range []string{"FREEAGENT_WORKER_KEY", "FREEAGENT_API_KEY"} {
		if key := strings.TrimSpace(getenv(name)); key != "" {
			return key, nil
		}
	}
	return "", fmt.Errorf("%w: an API key is needed to join. Set --key-file, FREEAGENT_WORKER_KEY or FREEAGENT_API_KEY", errUsage)
}

func (o options) config() (worker.Config, error) {
	dir, err := filepath.Abs(o.stateDir)
	if err != nil || o.stateDir == "" {
		return worker.Config{}, fmt.Errorf("%w: no state directory given. Set --state-dir", errUsage)
	}
	cfg := worker.Config{Name: o.name, Pool: o.pool, Slots: o.slots, StateDir: dir, DrainTimeout: o.drain, TelemetryEvery: o.telemetry, BusURL: o.bus}
	cfg.LogLimits = buildlog.Limits{Lines: o.logLines, Bytes: o.logMB << 20}
	if o.slots < 1 {
		return cfg, fmt.Errorf("%w: --slots must be at least 1 (got %d)", errUsage, o.slots)
	}
	for _, p := range o.platforms {
		platform, err := build.ParsePlatform(strings.TrimSpace(p))
		if err != nil {
			return cfg, fmt.Errorf("--platforms: %w", err)
		}
		cfg.Platforms = append(cfg.Platforms, platform)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("%w: %w", errUsage, err)
	}
	return cfg, nil
}

func (o options) newExecutor(ctx context.Context, dir string, log *slog.Logger) (runtime.Executor, error) {
	if o.fake != "" && o.executor != "fake" {
		return nil, fmt.Errorf("%w: --fake needs --executor fake", errUsage)
	}
	if o.grace < 0 {
		return nil, fmt.Errorf("%w: --cancel-grace must not be negative (got %s)", errUsage, o.grace)
	}
	switch o.executor {
	case "shell":
		return shell.New(ctx, shell.Config{Dir: dir, PassEnv: o.passEnv, CancelGrace: o.grace, Log: log})
	case "fake":
		simulated, err := fake.Parse(o.fake)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		return fake.New(dir, simulated, nil)
	}
	return nil, fmt.Errorf("%w: --executor must be shell or fake (got %q)", errUsage, o.executor)
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
