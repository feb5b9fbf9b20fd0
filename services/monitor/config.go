package monitor

import (
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Config of a monitor. Start from DefaultConfig.
type Config struct {
	// Grace between an expiry and the verdict: longer than a worker needs to reconnect and send a heartbeat on a good network.
	Grace time.Duration `env:"FREEAGENT_HEARTBEAT_GRACE_PERIOD" help:"delay between the expiry of a heartbeat and the loss of its attempt"`
	// Tick is how often leases that are due are read.
	Tick time.Duration
	// WorkerTTL is the heartbeat timeout of workers.
	WorkerTTL time.Duration `env:"FREEAGENT_WORKER_TIMEOUT" help:"heartbeat timeout of a worker, after which it is offline"`
	// StageTTLs are the heartbeat timeouts of attempts, until a heartbeat names its own.
	StageTTLs build.HeartbeatTimeouts `env:"FREEAGENT_HEARTBEAT_TIMEOUTS" help:"heartbeat timeout per stage in whole seconds, such as install=5m,pods=10m or all=5m; other stages keep their default"`
	// ReconcileEvery compares what is watched with the scheduler's leases, besides at start and after a reconnection.
	ReconcileEvery time.Duration
	// KeepSamples is how long samples of telemetry are kept, KeepMinutes how long their sums by the minute, KeepReports how long
	// diagnostic reports.
	KeepSamples time.Duration `env:"FREEAGENT_TELEMETRY_RETENTION" help:"retention of telemetry samples; older ones are aggregated by the minute"`
	KeepMinutes time.Duration `env:"FREEAGENT_TELEMETRY_ROLLUP_RETENTION" help:"retention of telemetry aggregated by the minute"`
	KeepReports time.Duration `env:"FREEAGENT_REPORT_RETENTION" help:"retention of diagnostic reports"`
}

// DefaultConfig finds a dead worker less than a second after the heartbeat timeout of its stage.
func DefaultConfig() Config {
	return Config{
		Grace: 500 * time.Millisecond, Tick: 100 * time.Millisecond, WorkerTTL: 15 * time.Second,
		StageTTLs: build.DefaultTTLs(), ReconcileEvery: 10 * time.Minute,
		KeepSamples: 7 * day, KeepMinutes: 90 * day, KeepReports: 30 * day,
	}
}

const day = 24 * time.Hour

// Validate returns all faults at once.
func (c Config) Validate() error {
	var faults []error
	for name, d := range map[string]time.Duration{
		"heartbeat grace period": c.Grace, "tick": c.Tick, "worker timeout": c.WorkerTTL, "reconcile interval": c.ReconcileEvery,
		"telemetry retention": c.KeepSamples, "telemetry rollup retention": c.KeepMinutes, "report retention": c.KeepReports,
	} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("%s must be positive (got %s)", name, d))
		}
	}
	faults = append(faults, c.StageTTLs.Validate())
	if c.KeepMinutes < c.KeepSamples {
		faults = append(faults, fmt.Errorf("telemetry rollup retention must be at least the telemetry retention, %s (got %s)", c.KeepSamples, c.KeepMinutes))
	}
	return errors.Join(faults...)
}
