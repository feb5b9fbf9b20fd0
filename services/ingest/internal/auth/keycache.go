package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/identity"
)

const (
	// keyTTL is how long a valid key is cached. A revoked key works for that long at most.
	keyTTL = time.Second
	// maxKeys bounds the cache. A farm uses a handful of keys.
	maxKeys = 1000
)

// keyCache caches the scopes of valid keys, so that not every request costs a query. Invalid keys are not cached: a new key works
// at once.
type keyCache struct {
	mu     sync.RWMutex
	scopes map[[sha256.Size]byte]cachedScopes
}

type cachedScopes struct {
	scopes identity.Scopes
	until  time.Time
}

// get returns the scopes of a key, from the cache or else from lookup. It does not store the key itself.
func (c *keyCache) get(ctx context.Context, key string, lookup func(context.Context, string) (identity.Scopes, error)) (identity.Scopes, error) {
	sum, now := sha256.Sum256([]byte(key)), time.Now()
	c.mu.RLock()
	known, ok := c.scopes[sum]
	c.mu.RUnlock()
	if ok && now.Before(known.until) {
		return known.scopes, nil
	}
	scopes, err := lookup(ctx, key)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scopes == nil || len(c.scopes) >= maxKeys {
		c.scopes = map[[sha256.Size]byte]cachedScopes{}
	}
	c.scopes[sum] = cachedScopes{scopes: scopes, until: now.Add(keyTTL)}
	return scopes, nil
}
