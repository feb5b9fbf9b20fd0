//go:build !linux && !darwin

package process

import "time"

// Usage is what the processes of an attempt use.
type Usage struct {
	CPU       time.Duration
	Memory    int64
	Processes int
}

// Measure returns ErrUnsupported.
func Measure(string) (Usage, error) { return Usage{}, ErrUnsupported }
