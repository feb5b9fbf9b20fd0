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
	Notice time.Duration
	// MinAge is how long after its end a build never expires.
	MinAge time.Duration
	// Trace is how long something is left of an expired build: enough to say when it went, and why.
	Trace time.Duration
	// Every is the pause between two sweeps.
	Every time.Duration
}

// DefaultConfig keeps builds for 90 days, and the last successful one of each branch for a year.
func DefaultConfig() Config {
	return Config{
		Seed:   Policy{MaxAge: 90 * day, KeepLast: true, KeepLastAge: 365 * day, WorkerAge: 90 * day},
		Notice: day, MinAge: time.Hour, Trace: 90 * day, Every: 10 * time.Minute,
	}
}

// Validate names every fault at once.
func (c Config) Validate() error {
	var faults []error
	if err := c.Seed.Validate(c.MinAge); err != nil {
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
		faults = append(faults, fmt.Errorf("retention: the pause between sweeps must be positive (got %s)", c.Every))
	}
	return errors.Join(faults...)
}
