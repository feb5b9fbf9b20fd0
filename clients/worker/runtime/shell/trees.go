package shell

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
)

// installed brings back an install: the files of an earlier build themselves if no other build has them, else those of the snapshot. how says which;
// it is empty if there is neither.
func (w *workspace) installed(ctx context.Context, root *os.Root) (snap buildcache.Snapshot, how string, err error) {
	caches := w.executor.caches
	tree, ok, err := caches.Take(ctx, w.scope(), installCache, w.kept.key, root)
	if ok || err != nil {
		w.kept.tree = tree
		return tree.Snapshot, "moved", err
	}
	snap, ok, err = caches.Restore(ctx, w.scope(), installCache, w.kept.key, root)
	if !ok || err != nil {
		return snap, "", err
	}
	w.mark(ctx, root, snap)
	return snap, "unpacked", nil
}

// mark notes what the install is made of, so that it can be parked after the build. Without marks it is removed with the build.
func (w *workspace) mark(ctx context.Context, root *os.Root, snap buildcache.Snapshot) {
	marks, err := buildcache.MarksOf(ctx, root, snap.Paths)
	if err != nil {
		w.executor.log.DebugContext(ctx, "the install is not parked", "attempt", w.job.Key(), "err", err)
		return
	}
	snap.Trusted = false // the tree is of the build's own branch
	w.kept.tree = buildcache.Parked{Snapshot: snap, Marks: marks}
}

// parkTimeout bounds the comparison of a tree with its marks.
const parkTimeout = time.Minute

// park keeps the install for the next build, if this build has left it as it was. Nothing of the build may run any longer.
func (w *workspace) park() {
	if w.kept.tree.Marks == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), parkTimeout)
	defer cancel()
	root, err := os.OpenRoot(w.kept.root)
	if err == nil {
		err = w.executor.caches.Park(ctx, w.scope(), installCache, w.kept.key, root, w.kept.tree)
		err = errors.Join(err, root.Close())
	}
	if err != nil {
		w.executor.log.DebugContext(ctx, "the install is not parked", "attempt", w.job.Key(), "err", err)
	}
}
