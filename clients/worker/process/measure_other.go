//go:build !linux && !darwin

package process

import "time"

// Usage is what the processes of a build attempt use.
type Usage struct {
	CPU       time.Duration
	Memory    int64
	Processes int
}

// Measure answers ErrUnsupported.
func Measure(string) (Usage, error) { return Usage{}, ErrUnsupported }
