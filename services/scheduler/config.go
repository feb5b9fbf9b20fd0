package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/reuse"
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
	MaxWaiting int64 `env:"FREEAGENT_MAX_WAITING_BUILDS" help:"number of builds that may wait; further submits are refused"`
	// MaxAttempts is how often a build is handed out before the infrastructure's failures become its own.
	MaxAttempts int32 `env:"FREEAGENT_MAX_ATTEMPTS" help:"number of attempts of a build, the first included, after infrastructure failures"`
	// Backoff before the second attempt; it doubles with each further one. 0 means at once.
	Backoff time.Duration `env:"FREEAGENT_RETRY_BACKOFF" help:"backoff before the second attempt of a build; doubles with each further one"`
	// BuildTimeout ends a build whatever it does.
	BuildTimeout time.Duration `env:"FREEAGENT_BUILD_TIMEOUT" help:"timeout of a build attempt"`
	// StageTTLs are the heartbeat timeouts, told to workers at the claim.
	StageTTLs build.HeartbeatTimeouts `env:"FREEAGENT_HEARTBEAT_TIMEOUTS" help:"heartbeat timeout per stage in whole seconds, such as install=5m,pods=10m or all=5m; other stages keep their default"`
	// MaxBuildTimeout and MaxStageTTL are the most that a project or a build's profile may ask for.
	MaxBuildTimeout time.Duration `env:"FREEAGENT_MAX_BUILD_TIMEOUT" help:"limit of the build timeouts that projects and profiles may set"`
	MaxStageTTL     time.Duration `env:"FREEAGENT_MAX_HEARTBEAT_TIMEOUT" help:"limit of the heartbeat timeouts that projects and profiles may set, at most 1h"`
	// WaitAlert is after how long of waiting an event and a line in the build's log say so; 0 is never.
	WaitAlert time.Duration `env:"FREEAGENT_WAIT_ALERT" help:"waiting time after which a build emits the event build.waiting; never if 0"`
	// AgeEvery is how long a build waits until its effective priority rises by one, up to the highest that anybody in its lane asked
	// for; 0 means never.
	AgeEvery time.Duration `env:"FREEAGENT_PRIORITY_AGING_INTERVAL" help:"waiting time that raises a build's priority by one; never if 0"`
	// MaxPriority is the highest priority that a submit may ask for, -100 to 100, for projects without a rule of their own.
	MaxPriority int32 `env:"FREEAGENT_MAX_PRIORITY" help:"limit of the priority of submits, -100 to 100, for projects without a dispatch rule"`
	// TrustedBranches are patterns of branches whose builds every branch of their project may reuse.
	TrustedBranches []string `env:"FREEAGENT_REUSE_BRANCHES" help:"patterns of branches, by comma, whose builds all branches of their project may reuse (submit --reuse)"`
	// ReconcileEvery compares BUILD_QUEUE with SQL.
	ReconcileEvery time.Duration
	// Retention says how ended builds expire.
	Retention RetentionConfig
	// StreamStorage is how many bytes all streams may take together; 0 is what the account has, at most bus.DefaultStorage.
	// StreamLimits overrides the share of single streams, by name.
	StreamStorage int64            `env:"FREEAGENT_STREAM_STORAGE_MB" unit:"MB" help:"storage of all streams together in MB; if 0 what the bus has, at most 16384"`
	StreamLimits  map[string]int64 `env:"FREEAGENT_STREAM_LIMITS_MB" unit:"MB" help:"storage of single streams in MB instead of their share, such as BUILD_LOGS=4096,BUILD_TELEMETRY=256"`
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
		Retention: retention.DefaultConfig(), TrustedBranches: []string{"main", "master"},
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
	need(c.MaxWaiting > 0, "max waiting builds must be positive (got %d)", c.MaxWaiting)
	need(c.MaxAttempts > 0, "max attempts must be positive (got %d)", c.MaxAttempts)
	need(c.Backoff >= 0, "retry backoff must not be negative (got %s)", c.Backoff)
	need(c.BuildTimeout >= time.Second, "build timeout must be at least 1s (got %s)", c.BuildTimeout)
	need(c.MaxBuildTimeout >= c.BuildTimeout, "max build timeout must be at least the build timeout, %s (got %s)", c.BuildTimeout, c.MaxBuildTimeout)
	need(c.MaxStageTTL >= time.Second && c.MaxStageTTL <= time.Hour, "max heartbeat timeout must be 1s to 1h (got %s)", c.MaxStageTTL)
	need(c.WaitAlert >= 0, "wait alert must not be negative (got %s)", c.WaitAlert)
	need(c.AgeEvery >= 0, "priority aging interval must not be negative (got %s)", c.AgeEvery)
	need(c.MaxPriority >= -rules.MaxPriority && c.MaxPriority <= rules.MaxPriority, "max priority must be -100 to 100 (got %d)", c.MaxPriority)
	need(c.ReconcileEvery > 0, "reconcile interval must be positive (got %s)", c.ReconcileEvery)
	need(c.Replicas == 1 || c.Replicas == 3 || c.Replicas == 5, "stream replicas must be 1, 3 or 5 (got %d)", c.Replicas)
	need(c.Replicas == 1 || !c.AsyncTelemetry, "asynchronous telemetry needs 1 stream replica (got %d)", c.Replicas)
	faults = append(faults, c.Retention.Validate(), c.validStreams(), c.StageTTLs.Validate(), reuse.CheckPatterns(c.TrustedBranches))
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
