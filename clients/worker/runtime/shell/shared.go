package shell

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/text"
)

var _ runtime.SharedCacher = (*workspace)(nil)

// UseShared implements runtime.SharedCacher. A repeated attempt gets nothing from the farm's cache: what it brought may be why the first one failed.
func (w *workspace) UseShared(c runtime.SharedCache) { w.shared = c }

// fetch brings a snapshot from the farm's cache if this worker has none. The line says how that went; it is empty if the farm has none either.
func (w *workspace) fetch(ctx context.Context, what, name, key string) (line string) {
	caches := w.executor.caches
	if w.shared == nil || w.job.Attempt > 1 || caches.Has(w.scope(), name, key) {
		return ""
	}
	began := time.Now()
	var entry runtime.SharedEntry
	ok, err := caches.Import(ctx, w.scope(), name, key, func(ctx context.Context, to *os.File) (trusted, ok bool, err error) {
		entry, ok, err = w.shared.Fetch(ctx, name, key, to)
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
func (w *workspace) offer(name, key string) {
	if w.shared == nil {
		return
	}
	if f, err := w.executor.caches.Open(w.scope(), name, key); err == nil { // it may be another scope's, or pruned meanwhile
		w.shared.Offer(name, key, f)
	}
}
