package embeds3

import "errors"

var (
	// ErrRunning says that this process already runs an endpoint.
	ErrRunning = errors.New("an embedded object store is already running in this process")
	// ErrAddress says that the requested address cannot be bound.
	ErrAddress = errors.New("the object store's address cannot be used")
)
