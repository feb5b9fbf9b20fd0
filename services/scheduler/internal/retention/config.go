package retention

import (
	"errors"
	"fmt"
	"time"
)

// Config of a sweeper. Start from DefaultConfig; Validate names every fault.
type Config struct {
	// Seed is the policy of a new farm. A farm that has builds or workers already gets none.
	Seed Policy
	// Notice is how long a change of policy waits before anything expires by it.
	Notice time.Duration `env:"FREEAGENT_RETENTION_NOTICE" help:"delay between a change of a retention policy and the first build that expires by it"`
	// MinAge is how long after its end a build never expires.
	MinAge time.Duration `env:"FREEAGENT_RETENTION_MIN_AGE" help:"age since its end below which no build expires"`
	// Trace is how long something is left of an expired build: enough to say when it went, and why.
	Trace time.Duration `env:"FREEAGENT_RETENTION_TRACE" help:"retention of the trace of an expired build, which says when and why it expired"`
	// Every is the pause between two sweeps.
	Every time.Duration `env:"FREEAGENT_RETENTION_INTERVAL" help:"interval between retention sweeps"`
}

// DefaultConfig keeps builds for 90 days, and the last successful one of each branch for a year.
func DefaultConfig() Config {
	return Config{
		Seed:   Policy{MaxAge: 90 * day, KeepLast: true, KeepLastAge: 365 * day, WorkerAge: 90 * day},
		Notice: day, MinAge: time.Hour, Trace: 90 * day, Every: 10 * time.Minute,
	}
}

// FirstPolicy returns Seed without the age limit of last successful builds if they are not kept, so that one setting turns it off.
func (c Config) FirstPolicy() Policy {
	p := c.Seed
	if !p.KeepLast {
		p.KeepLastAge = 0
	}
	return p
}

// Validate names every fault at once.
func (c Config) Validate() error {
	var faults []error
	if err := c.FirstPolicy().Validate(c.MinAge); err != nil {
		faults = append(faults, fmt.Errorf("retention policy of a new farm: %w", err))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"notice", c.Notice}, {"minimum age", c.MinAge}, {"time that traces are kept", c.Trace}} {
		if d.value < 0 || d.value > longest {
			faults = append(faults, fmt.Errorf("retention: the %s must be 0 to %s (got %s)", d.name, Span(longest), d.value))
		}
	}
	if c.Every <= 0 {
		faults = append(faults, fmt.Errorf("retention: the interval between sweeps must be positive (got %s)", c.Every))
	}
	return errors.Join(faults...)
}
