package shell

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
)

// install is what a build has installed: where it comes from, and whether the next build may have its files.
type install struct {
	caches *buildcache.Store
	log    *slog.Logger
	scope  buildcache.Scope
	key    string
	// root is that of the source.
	root string
	tree buildcache.Parked
}

// restore brings an install back: the files of an earlier build themselves if no other build has them, else those of the snapshot. how says which;
// it is empty if there is neither.
func (i *install) restore(ctx context.Context, root *os.Root) (snap buildcache.Snapshot, how string, err error) {
	tree, ok, err := i.caches.Take(ctx, i.scope, installCache, i.key, root)
	if ok || err != nil {
		i.tree = tree
		return tree.Snapshot, "moved", err
	}
	snap, ok, err = i.caches.Restore(ctx, i.scope, installCache, i.key, root)
	if !ok || err != nil {
		return snap, "", err
	}
	i.mark(ctx, root, snap)
	return snap, "unpacked", nil
}

// mark notes what the install is made of, so that it can be parked after the build. Without marks it is removed with the build.
func (i *install) mark(ctx context.Context, root *os.Root, snap buildcache.Snapshot) {
	marks, err := buildcache.MarksOf(ctx, root, snap.Paths)
	if err != nil {
		i.log.DebugContext(ctx, "install is not parked", "err", err)
		return
	}
	snap.Trusted = false // the tree is of the build's own branch
	i.tree = buildcache.Parked{Snapshot: snap, Marks: marks}
}

// parkTimeout bounds the comparison of a tree with its marks.
const parkTimeout = time.Minute

// park keeps the install for the next build, if this build has left it as it was. Nothing of the build may run any longer.
func (i *install) park() {
	if i == nil || i.tree.Marks == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), parkTimeout)
	defer cancel()
	root, err := os.OpenRoot(i.root)
	if err == nil {
		err = i.caches.Park(ctx, i.scope, installCache, i.key, root, i.tree)
		err = errors.Join(err, root.Close())
	}
	if err != nil {
		i.log.DebugContext(ctx, "install is not parked", "err", err)
	}
}
