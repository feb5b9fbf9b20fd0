package scheduler

import (
	"context"
	"fmt"
	"slices"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// ensureStreams creates or updates the streams with limits that keep a flood of logs from taking the room of hand-outs.
func (s *Scheduler) ensureStreams(ctx context.Context) error {
	divided, err := bus.EnsureWithin(ctx, s.js, s.topology(), s.cfg.StreamStorage, s.cfg.StreamLimits)
	if err != nil {
		return err
	}
	if divided == 0 {
		s.log.WarnContext(ctx, "limits of streams not set: the bus has too little storage; a flood of logs can stop hand-outs")
		return nil
	}
	if divided < s.cfg.StreamStorage {
		s.log.WarnContext(ctx, "streams share less storage than they should, since the bus has no more", "storage_bytes", divided, "wanted_bytes", s.cfg.StreamStorage)
	}
	return nil
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
