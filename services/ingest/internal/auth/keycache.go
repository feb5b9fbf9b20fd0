package auth

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/expo-free-agent/freeagent/shared/cache"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

const (
	// trustKey is how long a key that was good is taken to be good: a revoked one works on for that long at most.
	trustKey = time.Second
	// maxKeys bounds the memory; a farm has a handful of keys in use.
	maxKeys = 1000
)

// keyCache remembers for a moment what the keys in use may do, so that a busy client does not cost a query for each of its requests. It
// does not remember keys that are invalid: a new key works at once. Make it with newKeyCache.
type keyCache struct {
	scopes *cache.Cache[[sha256.Size]byte, identity.Scopes]
}

func newKeyCache() keyCache {
	return keyCache{cache.New[[sha256.Size]byte, identity.Scopes](maxKeys, trustKey)}
}

// get calls look only if it does not remember the key. It keeps the key's hash, not the key.
func (c keyCache) get(ctx context.Context, key string, look func(context.Context, string) (identity.Scopes, error)) (identity.Scopes, error) {
	sum := sha256.Sum256([]byte(key))
	if scopes, ok := c.scopes.Get(sum); ok {
		return scopes, nil
	}
	scopes, err := look(ctx, key)
	if err != nil {
		return nil, err
	}
	c.scopes.Put(sum, scopes)
	return scopes, nil
}
