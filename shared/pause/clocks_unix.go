//go:build linux || darwin

package pause

import (
	"time"

	"golang.org/x/sys/unix"
)

// systemClocks returns a function that reads the system's clocks. Go's own monotonic clock stops
// while the machine sleeps on both systems.
func systemClocks() func() Reading {
	begin := time.Now()
	return func() Reading {
		now := time.Now()
		r := Reading{Monotonic: now.Sub(begin), Wall: now, Boot: now.Round(0).Sub(begin.Round(0))}
		var ts unix.Timespec
		if unix.ClockGettime(bootClock, &ts) == nil {
			r.Boot = time.Duration(ts.Nano())
		}
		return r
	}
}
