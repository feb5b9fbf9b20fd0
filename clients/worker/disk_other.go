//go:build !linux && !darwin

package worker

import "errors"

// diskUsed cannot be told here.
func diskUsed(string) (float64, error) { return 0, errors.ErrUnsupported }
