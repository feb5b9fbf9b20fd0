//go:build !linux && !darwin

package shell

// memory returns the bytes of memory that this machine has; 0 if that is not known.
func memory() uint64 { return 0 }
