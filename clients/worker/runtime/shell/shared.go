package shell

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/text"
)

var _ runtime.SharedCacher = (*workspace)(nil)

// UseShared implements runtime.SharedCacher. A repeated attempt gets nothing from the farm's cache: what it brought may be why the first one failed.
func (w *workspace) UseShared(c runtime.SharedCache) {
	w.shared = &sharing{farm: c, store: w.executor.caches, scope: w.scope(), repeated: w.job.Attempt > 1}
}

// sharing is the farm's cache beside that of this worker; nil without one.
type sharing struct {
	farm     runtime.SharedCache
	store    *buildcache.Store
	scope    buildcache.Scope
	repeated bool
}

// fetch brings a snapshot from the farm's cache if this worker has none. The line says how that went; it is empty if the farm has none either.
func (s *sharing) fetch(ctx context.Context, what, name, key string) (line string) {
	if s == nil || s.repeated || s.store.Has(s.scope, name, key) {
		return ""
	}
	began := time.Now()
	var entry runtime.SharedEntry
	ok, err := s.store.Import(ctx, s.scope, name, key, func(ctx context.Context, to *os.File) (trusted, ok bool, err error) {
		entry, ok, err = s.farm.Fetch(ctx, name, key, to)
		return entry.Trusted, ok, err
	})
	switch {
	case err != nil:
		return fmt.Sprintf("%s is not taken from the farm's cache: %v", what, err)
	case !ok:
		return ""
	}
	return fmt.Sprintf("%s from the farm's cache, %s in %s", what, text.Size(entry.Packed), time.Since(began).Round(time.Millisecond))
}

// offer sends a snapshot of the build's own scope to the farm's cache after the build.
func (s *sharing) offer(name, key string) {
	if s == nil {
		return
	}
	if f, err := s.store.Open(s.scope, name, key); err == nil { // it may be another scope's, or pruned meanwhile
		s.farm.Offer(name, key, f)
	}
}
