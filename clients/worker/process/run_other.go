//go:build !linux && !darwin

package process

import "context"

// Run returns ErrUnsupported.
func Run(context.Context, Spec) error { return ErrUnsupported }

// Kill returns ErrUnsupported.
func Kill(string) error { return ErrUnsupported }
