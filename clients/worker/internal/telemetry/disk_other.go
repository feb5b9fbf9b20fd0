//go:build !linux && !darwin

package telemetry

import "errors"

// diskUsed is not supported on this system.
func diskUsed(string) (float64, error) { return 0, errors.ErrUnsupported }
