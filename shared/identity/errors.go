package identity

import "errors"

var (
	// ErrKey means: an API key that may not be used; the text says why and never holds the key.
	ErrKey = errors.New("API key")
	// ErrWorker means: a worker that is not let onto the bus; the text says why, for the log and not for the worker.
	ErrWorker = errors.New("worker not admitted")
)
