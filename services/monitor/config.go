package monitor

import (
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Config of a monitor. Start from DefaultConfig.
type Config struct {
	// Grace between an expiry and the verdict: longer than a worker needs to reconnect and send a heartbeat on a good network.
	Grace time.Duration
	// Tick is how often leases that are due are read.
	Tick time.Duration
	// WorkerTTL is the heartbeat timeout of workers.
	WorkerTTL time.Duration
	// StageTTLs are the heartbeat timeouts by stage, until a heartbeat names its own.
	StageTTLs map[build.Stage]time.Duration
	// ReconcileEvery compares what is watched with the scheduler's leases, besides at start and after a reconnection.
	ReconcileEvery time.Duration
	// KeepSamples is how long samples of telemetry are kept, KeepMinutes how long their sums by the minute, KeepReports how long
	// diagnostic reports.
	KeepSamples, KeepMinutes, KeepReports time.Duration
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
		"grace": c.Grace, "tick": c.Tick, "worker TTL": c.WorkerTTL, "reconcile every": c.ReconcileEvery,
		"keep samples": c.KeepSamples, "keep minutes": c.KeepMinutes, "keep reports": c.KeepReports,
	} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("%s = %s, want more than 0", name, d))
		}
	}
	for stage, ttl := range c.StageTTLs {
		if ttl < time.Second || ttl > store.MaxTTL {
			faults = append(faults, fmt.Errorf("TTL of stage %s = %s, want 1s to %s", stage, ttl, store.MaxTTL))
		}
	}
	if c.KeepMinutes < c.KeepSamples {
		faults = append(faults, fmt.Errorf("sums by the minute kept for %s, samples for %s: want the sums for longer", c.KeepMinutes, c.KeepSamples))
	}
	return errors.Join(faults...)
}
