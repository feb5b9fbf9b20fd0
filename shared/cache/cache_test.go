package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/cache"
)

func TestCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string, int](2, time.Minute)
		has := func(key string, want bool) {
			t.Helper()
			if _, ok := c.Get(key); ok != want {
				t.Errorf("Get(%s) = %v, want %v", key, ok, want)
			}
		}
		c.Put("a", 1)
		c.Put("b", 2)
		has("a", true) // so b was used longest ago
		c.Put("c", 3)
		has("b", false)
		has("a", true)
		has("c", true)
		c.Forget("a")
		has("a", false)
		if err := backoff.Sleep(t.Context(), time.Minute+time.Second); err != nil {
			t.Fatal(err)
		}
		has("c", false)
	})
	forever := cache.New[string, int](0, 0)
	forever.Put("a", 1)
	if v, ok := forever.Get("a"); !ok || v != 1 {
		t.Errorf("Get = %d, %v, want a value without a time to live", v, ok)
	}
}
