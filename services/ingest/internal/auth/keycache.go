package auth

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/expo-free-agent/freeagent/shared/cache"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

const (
	// keyTTL is how long a valid key is cached. A revoked key works for that long at most.
	keyTTL = time.Second
	// maxKeys bounds the cache. A farm uses a handful of keys.
	maxKeys = 1000
)

// keyCache caches the scopes of valid keys, so that not every request costs a query. Invalid keys
// are not cached: a new key works at once. Create it with newKeyCache.
type keyCache struct {
	scopes *cache.Cache[[sha256.Size]byte, identity.Scopes]
}

func newKeyCache() keyCache {
	return keyCache{cache.New[[sha256.Size]byte, identity.Scopes](maxKeys, keyTTL)}
}

// get returns the scopes of a key, from the cache or else from lookup. It stores the hash of the
// key, not the key.
func (c keyCache) get(ctx context.Context, key string, lookup func(context.Context, string) (identity.Scopes, error)) (identity.Scopes, error) {
	sum := sha256.Sum256([]byte(key))
	if scopes, ok := c.scopes.Get(sum); ok {
		return scopes, nil
	}
	scopes, err := lookup(ctx, key)
	if err != nil {
		return nil, err
	}
	c.scopes.Put(sum, scopes)
	return scopes, nil
}
