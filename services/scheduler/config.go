package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/rules"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// RetentionConfig says how retention works; the policies themselves are set at run time.
type RetentionConfig = retention.Config

// RetentionPolicy says how long ended builds are kept.
type RetentionPolicy = retention.Policy

// Config of a scheduler. Start from DefaultConfig; Validate names every fault.
type Config struct {
	// MaxWaiting bounds the builds that wait; a submit beyond it is refused with build.ErrQueueFull.
	MaxWaiting int64
	// MaxAttempts is how often a build is handed out before the infrastructure's failures become its own.
	MaxAttempts int32
	// Backoff before the second attempt; it doubles with each further one. 0 means at once.
	Backoff time.Duration
	// BuildTimeout ends a build whatever it does.
	BuildTimeout time.Duration
	// StageTTLs is the silence forgiven by stage, told to workers at the claim. Whole seconds, at least 1.
	StageTTLs map[build.Stage]time.Duration
	// MaxBuildTimeout and MaxStageTTL are the most that a project or a build's profile may ask for.
	MaxBuildTimeout, MaxStageTTL time.Duration
	// WaitAlert is after how long of waiting an event and a line in the build's log say so; 0 is never.
	WaitAlert time.Duration
	// AgeEvery is how long a build waits until its effective priority rises by one, up to the highest that anybody in its lane asked
	// for; 0 means never.
	AgeEvery time.Duration
	// MaxPriority is the highest priority that a submit may ask for, -100 to 100, for projects without a rule of their own.
	MaxPriority int32
	// ReconcileEvery compares BUILD_QUEUE with SQL.
	ReconcileEvery time.Duration
	// Retention says how ended builds expire.
	Retention RetentionConfig
	// StreamStorage is how many bytes all streams may take together; 0 is what the account has, at most bus.DefaultStorage.
	// StreamLimits overrides the share of single streams, by name.
	StreamStorage int64
	StreamLimits  map[string]int64
	// Replicas of the streams that the scheduler makes: 1, or 3 on a cluster.
	Replicas int
	// AsyncTelemetry lets the bus acknowledge telemetry before it writes it. Such a stream cannot be replicated later, so it is for
	// an embedded bus.
	AsyncTelemetry bool
}

// DefaultConfig fits a team's farm.
func DefaultConfig() Config {
	return Config{
		MaxWaiting: 10_000, MaxAttempts: 3, Backoff: 5 * time.Second, BuildTimeout: 2 * time.Hour,
		MaxBuildTimeout: 12 * time.Hour, MaxStageTTL: time.Hour, WaitAlert: 15 * time.Minute,
		StageTTLs: build.DefaultTTLs(), ReconcileEvery: 15 * time.Second, Replicas: 1, AgeEvery: 10 * time.Minute, MaxPriority: 10,
		Retention: retention.DefaultConfig(),
	}
}

// Validate names every fault at once.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	need(c.MaxWaiting > 0, "max waiting builds = %d, want at least 1", c.MaxWaiting)
	need(c.MaxAttempts > 0, "max attempts = %d, want at least 1", c.MaxAttempts)
	need(c.Backoff >= 0, "backoff = %s, want 0 or more", c.Backoff)
	need(c.BuildTimeout >= time.Second, "build timeout = %s, want at least 1s", c.BuildTimeout)
	need(c.MaxBuildTimeout >= c.BuildTimeout, "longest build timeout = %s, want at least the build timeout, %s", c.MaxBuildTimeout, c.BuildTimeout)
	need(c.MaxStageTTL >= time.Second && c.MaxStageTTL <= time.Hour, "longest TTL of a stage = %s, want 1s to 1h", c.MaxStageTTL)
	need(c.WaitAlert >= 0, "alert of long waits = %s, want 0 or more", c.WaitAlert)
	need(c.AgeEvery >= 0, "priority ageing = %s, want 0 or more", c.AgeEvery)
	need(c.MaxPriority >= -rules.MaxPriority && c.MaxPriority <= rules.MaxPriority, "max priority = %d, want -100 to 100", c.MaxPriority)
	need(c.ReconcileEvery > 0, "reconcile every = %s, want more than 0", c.ReconcileEvery)
	need(c.Replicas == 1 || c.Replicas == 3 || c.Replicas == 5, "replicas = %d, want 1, 3 or 5", c.Replicas)
	need(c.Replicas == 1 || !c.AsyncTelemetry, "asynchronous telemetry with %d replicas: want 1", c.Replicas)
	faults = append(faults, c.Retention.Validate(), c.validStreams())
	for s, ttl := range c.StageTTLs {
		need(ttl >= time.Second && ttl%time.Second == 0, "TTL of stage %s = %s, want whole seconds, at least 1s", s, ttl)
	}
	return errors.Join(faults...)
}

// validStreams names what is wrong with the limits of streams.
func (c Config) validStreams() error {
	if c.StreamStorage < 0 {
		return fmt.Errorf("the storage of streams must be 0 (found out) or more bytes (got %d)", c.StreamStorage)
	}
	for name, limit := range c.StreamLimits {
		if !slices.Contains(bus.LimitedStreams(), name) {
			return fmt.Errorf("no such stream %q; the streams are %v", name, bus.LimitedStreams())
		}
		if limit <= 0 {
			return fmt.Errorf("the limit of %s must be positive (got %d bytes)", name, limit)
		}
	}
	return nil
}

func (c Config) queue() handout.Config {
	return handout.Config{
		Every: c.ReconcileEvery, Replicas: c.Replicas, AsyncTelemetry: c.AsyncTelemetry, StreamStorage: c.StreamStorage, StreamLimits: c.StreamLimits,
	}
}

func (c Config) rules() rules.Config {
	return rules.Config{
		AgeEvery: c.AgeEvery, MaxPriority: c.MaxPriority, BuildTimeout: c.BuildTimeout, MaxBuildTimeout: c.MaxBuildTimeout,
		MaxStageTTL: c.MaxStageTTL, StageTTLs: c.StageTTLs, WaitAlert: c.WaitAlert,
	}
}
