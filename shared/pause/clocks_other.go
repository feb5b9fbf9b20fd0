//go:build !linux && !darwin

package pause

import "time"

// systemClocks returns a function that reads the system's clocks; the wall clock stands in for the
// boot-time clock.
func systemClocks() func() Reading {
	begin := time.Now()
	return func() Reading {
		now := time.Now()
		return Reading{Monotonic: now.Sub(begin), Boot: now.Round(0).Sub(begin.Round(0)), Wall: now}
	}
}
