package worker

import "errors"

var (
	// ErrRefused means that the server refuses this worker for good; the text says what to do.
	ErrRefused = errors.New("the server refuses this worker")
	// ErrStateInUse means that another worker runs with the same state directory.
	ErrStateInUse = errors.New("state directory is in use by another worker")
	// ErrConfig means that the configuration is invalid; the text names every fault.
	ErrConfig = errors.New("worker configuration")
)
