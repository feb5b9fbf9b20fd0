//go:build !linux && !darwin

package telemetry

import "errors"

// diskUsed cannot be told here.
func diskUsed(string) (float64, error) { return 0, errors.ErrUnsupported }
