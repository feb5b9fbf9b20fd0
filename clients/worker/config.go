package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	pausedetector "github.com/expo-free-agent/freeagent/shared/pause"
)

// Config of a Worker.
type Config struct {
	// Name is shown in lists and logs, at most 200 bytes.
	Name string
	// Pool; empty means build.DefaultPool.
	Pool string
	// Platforms that the worker builds; none means all.
	Platforms []build.Platform
	// Labels of the worker, in addition to those that Deps.Detect finds.
	Labels build.Labels
	// Slots is how many builds run at once, 1 to 64; 0 means 1.
	Slots int
	// StateDir holds the identity; absolute, used by one worker.
	StateDir string
	// BusURL is the address of the bus, such as a leaf node in the worker's region; empty means the address that the farm sends.
	BusURL string
	// DrainTimeout is how long running builds may continue after Run's context has ended; 0 releases them at once.
	DrainTimeout time.Duration
	// LogBuffer bounds the log lines of one build that wait in memory while the bus is unavailable, in bytes; 0 means 64 MiB.
	LogBuffer int
	// LogLimits bound the log of one attempt (default 2,000,000 lines and 200 MB, and the last 1,000 lines in addition).
	LogLimits buildlog.Limits
	// TelemetryEvery is the interval of telemetry samples; 0 means none.
	TelemetryEvery time.Duration
}

// DefaultTelemetryEvery shows what a stage does. With it 10,000 workers cost the bus 2,000 small messages a second.
const DefaultTelemetryEvery = 5 * time.Second

// maxSlots is the scheduler's limit too.
const maxSlots = 64

// Validate returns all faults together; the error matches ErrConfig.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if c.Name == "" || len(c.Name) > 200 {
		fault("name must be 1 to 200 bytes (got %.20q)", c.Name)
	}
	if c.Pool != "" && !build.ValidID(c.Pool) {
		fault("pool must be at most %d letters, digits, _ and - (got %q)", build.MaxIDLength, c.Pool)
	}
	for _, p := range c.Platforms {
		if _, err := build.ParsePlatform(string(p)); err != nil {
			fault("%w", err)
		}
	}
	if err := c.Labels.Check(); err != nil {
		fault("%w", err)
	}
	if c.Slots < 0 || c.Slots > maxSlots {
		fault("slots must be 1 to %d (got %d)", maxSlots, c.Slots)
	}
	if !filepath.IsAbs(c.StateDir) {
		fault("state directory must be an absolute path (got %q)", c.StateDir)
	}
	if c.LogLimits.Lines < 0 || c.LogLimits.Bytes < 0 || c.LogLimits.Last < 0 {
		fault("log limits must not be negative (got %d lines, %d bytes, the last %d)", c.LogLimits.Lines, c.LogLimits.Bytes, c.LogLimits.Last)
	}
	if c.TelemetryEvery != 0 && c.TelemetryEvery < 100*time.Millisecond {
		fault("telemetry interval must be 0 or at least 100ms (got %s)", c.TelemetryEvery)
	}
	if c.DrainTimeout < 0 {
		fault("drain timeout must not be negative (got %s)", c.DrainTimeout)
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Slots = max(1, c.Slots)
	if c.Pool == "" {
		c.Pool = build.DefaultPool
	}
	return c
}

// Deps are what a worker needs from outside.
type Deps struct {
	// Gateway is the HTTP side of the farm.
	Gateway  *api.Client
	Executor runtime.Executor
	Log      *slog.Logger
	// TLS of the connection to the bus; nil trusts what the system trusts.
	TLS *tls.Config
	// Dial connects to the bus; nil means bus.Connect.
	Dial func(bus.Config, *slog.Logger) (*nats.Conn, error)
	// Detect returns the labels of the machine, such as versions of tools, or what it has when ctx ends; nil means none.
	Detect func(ctx context.Context) build.Labels
	// Pauses detects pauses of this process; nil means the system's clocks.
	Pauses *pausedetector.Detector
}
