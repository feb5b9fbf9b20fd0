//go:build !linux && !darwin

package process

import "context"

// Run answers ErrUnsupported.
func Run(context.Context, Spec) error { return ErrUnsupported }

// Kill answers ErrUnsupported.
func Kill(string) error { return ErrUnsupported }
