//go:build linux || darwin

package process

import (
	"fmt"
	"time"
)

// Usage is what the processes of an attempt use.
type Usage struct {
	// CPU is what those that live have used so far, with their children that have ended (those are
	// left out on macOS). It may fall when one of them ends.
	CPU time.Duration
	// Memory in bytes: what is resident. Pages that processes share count for each.
	Memory    int64
	Processes int
}

// Measure returns what an attempt's processes use. No process at all is no error. It may be called while Run runs.
func Measure(mark string) (Usage, error) {
	all, err := members(mark, 0)
	if err != nil {
		return Usage{}, fmt.Errorf("list processes: %w", err)
	}
	defer release(all)
	pids := make([]int, len(all))
	for i, m := range all {
		pids[i] = m.pid
	}
	u, err := usage(pids)
	if err != nil {
		return Usage{}, fmt.Errorf("measure processes: %w", err)
	}
	return u, nil
}
