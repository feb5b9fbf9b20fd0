package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/identity"
)

const (
	// trustKey is how long a key that was good is taken to be good: a revoked one works on for that long at most.
	trustKey = time.Second
	// maxKeys bounds the memory; a farm has a handful of keys in use.
	maxKeys = 1000
)

// keyCache remembers for a moment what the keys in use may do, so that a busy client does not cost a query for each of its
// requests. What is no key is not remembered: a new key works at once.
type keyCache struct {
	mu     sync.RWMutex
	scopes map[[sha256.Size]byte]trusted
}

type trusted struct {
	scopes identity.Scopes
	until  time.Time
}

// get asks look only if the key was not seen a moment ago. The key itself is not kept.
func (c *keyCache) get(ctx context.Context, key string, look func(context.Context, string) (identity.Scopes, error)) (identity.Scopes, error) {
	sum, now := sha256.Sum256([]byte(key)), time.Now()
	c.mu.RLock()
	known, ok := c.scopes[sum]
	c.mu.RUnlock()
	if ok && now.Before(known.until) {
		return known.scopes, nil
	}
	scopes, err := look(ctx, key)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scopes == nil || len(c.scopes) >= maxKeys {
		c.scopes = map[[sha256.Size]byte]trusted{}
	}
	c.scopes[sum] = trusted{scopes: scopes, until: now.Add(trustKey)}
	return scopes, nil
}
