package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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

// Config of a worker.
type Config struct {
	// Name is shown to people, at most 200 bytes.
	Name string
	// Pool; empty means build.DefaultPool.
	Pool string
	// Platforms that it builds; none means all.
	Platforms []build.Platform
	// Slots is how many builds it does at once, 1 to 64; 0 means 1.
	Slots int
	// StateDir holds the identity; absolute, one worker each.
	StateDir string
	// BusURL is where to reach the bus, instead of the address that the farm gives: a leaf node of this worker's region.
	BusURL string
	// DrainTimeout is how long running builds may go on after Run's context ended; 0 hands them back at once.
	DrainTimeout time.Duration
	// LogBuffer bounds the log lines of one build that wait in memory while the bus is away, in bytes; 0 means 64 MiB.
	LogBuffer int
	// LogLimits bound the log of one attempt: 2,000,000 lines and 200 MB unless set, and the last 1,000 lines besides.
	LogLimits buildlog.Limits
	// TelemetryEvery is how often what a build uses is measured and published; 0 is never.
	TelemetryEvery time.Duration
}

// DefaultTelemetryEvery is often enough to see what a stage does, and 10,000 workers cost the bus 2,000 small messages a second.
const DefaultTelemetryEvery = 5 * time.Second

// maxSlots is the scheduler's bound too.
const maxSlots = 64

// Validate names every fault at once; the error matches ErrConfig.
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

// Gateway is the HTTP side of the farm.
type Gateway interface {
	JoinWorker(ctx context.Context, r api.JoinRequest) (api.JoinResponse, error)
	Get(ctx context.Context, g api.Grant, w io.Writer, size int64, sha256Hex string) error
	Upload(ctx context.Context, g api.Grant, body io.Reader, progress func(n int)) (api.Uploaded, error)
}

var _ Gateway = (*api.Client)(nil)

// Deps are what a worker needs from outside.
type Deps struct {
	Gateway  Gateway
	Executor runtime.Executor
	Log      *slog.Logger
	// TLS of the connection to the bus; nil trusts what the system trusts.
	TLS *tls.Config
	// Dial connects to the bus; nil means bus.Connect.
	Dial func(bus.Config, *slog.Logger) (*nats.Conn, error)
	// Pauses detects pauses of this process; nil means the system's clocks.
	Pauses *pausedetector.Detector
}
