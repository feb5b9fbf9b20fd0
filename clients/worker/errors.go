package worker

import "errors"

var (
	// ErrRefused: the server does not let this worker in; trying again will not help. The text says what would.
	ErrRefused = errors.New("the server refuses this worker")
	// ErrStateInUse: another worker runs with the same state directory.
	ErrStateInUse = errors.New("state directory is in use by another worker")
	// ErrConfig: the configuration cannot be; the text names every fault.
	ErrConfig = errors.New("worker configuration")
)

// Why a build's work ended before its time: causes of its contexts.
var (
	errLeaseLost = errors.New("the lease is lost")
	errCancelled = errors.New("cancelled")
	errHandBack  = errors.New("the worker stops")
	errTimedOut  = errors.New("timed out")
	errGaveUp    = errors.New("the worker stopped before the scheduler answered")
	errNewName   = errors.New("the server gave this worker a new identity")
)
