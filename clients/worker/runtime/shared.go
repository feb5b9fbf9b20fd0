package runtime

import (
	"context"
	"os"
)

// SharedCache is the cache that the workers of a farm share, for one attempt. It is used by one goroutine at a time.
type SharedCache interface {
	// Fetch writes an entry to a file and checks it. ok is false if there is none. After an error the file may have parts of it.
	Fetch(ctx context.Context, name, key string, to *os.File) (e SharedEntry, ok bool, err error)
	// Offer sends a packed entry after the build, unless the farm has it. It takes over the file, and returns at once.
	Offer(name, key string, packed *os.File)
}

// SharedEntry is an entry of the shared cache.
type SharedEntry struct {
	// Packed is its size in bytes.
	Packed int64
	// Trusted means that it is one of the trusted branches.
	Trusted bool
}

// SharedCacher is a Cacher that can use the farm's cache, too.
type SharedCacher interface {
	// UseShared sets the cache for all that follows.
	UseShared(SharedCache)
}
