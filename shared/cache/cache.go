// Package cache remembers a bounded number of values for a while.
package cache

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Cache drops the value that was used longest ago when it is full. It is safe for concurrent use.
//
// It stamps the values instead of using the package expirable of the same library, whose goroutine cannot be stopped.
type Cache[K comparable, V any] struct {
	ttl    time.Duration
	values *lru.Cache[K, stamped[V]]
}

type stamped[V any] struct {
	value V
	until time.Time
}

// New returns a cache of at most size values, at least one. Each is remembered for ttl; 0: as long as there is room.
func New[K comparable, V any](size int, ttl time.Duration) *Cache[K, V] {
	values, _ := lru.New[K, stamped[V]](max(1, size)) // fails only for a size below 1
	return &Cache[K, V]{ttl: ttl, values: values}
}

// Get returns the value of a key, if it is remembered.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	s, ok := c.values.Get(key)
	if !ok || c.ttl > 0 && !time.Now().Before(s.until) {
		return value, false
	}
	return s.value, true
}

// Put remembers the value of a key.
func (c *Cache[K, V]) Put(key K, value V) {
	c.values.Add(key, stamped[V]{value, time.Now().Add(c.ttl)})
}

// Forget drops the value of a key.
func (c *Cache[K, V]) Forget(key K) { c.values.Remove(key) }
