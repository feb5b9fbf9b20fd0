package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Config of a cache.
type Config struct {
	// MaxBytes bounds all entries together; 0: there is no cache.
	MaxBytes int64
	// MaxEntry bounds one entry, in bytes.
	MaxEntry int64
	// Trusted are patterns of branches that share entries which all branches of their project read.
	Trusted []string
}

// Cache keeps entries as objects of the catalog. It is safe for concurrent use, also by several processes.
type Cache struct {
	cfg     Config
	rows    *store.Cache
	catalog *catalog.Catalog
}

// New returns a cache.
func New(cfg Config, rows *store.Cache, c *catalog.Catalog) *Cache {
	return &Cache{cfg: cfg, rows: rows, catalog: c}
}

// Build is whose entries are meant, as the scheduler knows it.
type Build struct{ Project, Branch string }

// Enabled reports whether a build has a cache. One of no project shares with nobody.
func (c *Cache) Enabled(b Build) bool { return c.cfg.MaxBytes > 0 && b.Project != "" }

// trusted reports whether builds of a branch share entries with those of other trusted branches.
func (c *Cache) trusted(branch string) bool {
	return slices.ContainsFunc(c.cfg.Trusted, func(pattern string) bool {
		ok, err := path.Match(pattern, branch)
		return err == nil && ok
	})
}

// scopes returns the scope that a build writes to, and that of the trusted branches. They are the same for a build of a trusted branch.
func (c *Cache) scopes(b Build) (own, shared string) {
	shared = scopeOf(b.Project, "trusted", "")
	if c.trusted(b.Branch) {
		return shared, shared
	}
	return scopeOf(b.Project, "branch", b.Branch), shared
}

// scopeOf returns a name for a scope that no other parts have.
func scopeOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// usedEvery is how exactly the last use of an entry is known.
const usedEvery = time.Minute

// Find returns the entry that a build may read: that of its own scope, else that of the trusted branches. It is store.ErrNotFound if there is none.
func (c *Cache) Find(ctx context.Context, b Build, name, key string) (o store.Object, trusted bool, err error) {
	own, shared := c.scopes(b)
	id, err := c.rows.Find(ctx, own, name, key)
	if catalog.IsMissing(err) && own != shared {
		trusted = true
		id, err = c.rows.Find(ctx, shared, name, key)
	}
	if err != nil {
		return o, false, err
	}
	if o, err = c.catalog.Readable(ctx, id); err != nil {
		return o, false, err
	}
	now := time.Now()
	return o, trusted, c.rows.Use(ctx, id, now, now.Add(-usedEvery))
}

// uploadTime is how long an upload that was admitted counts as under way, so that other workers do not send the same.
const uploadTime = 15 * time.Minute

// Has reports whether the build's own scope has an entry, or will have it soon, and notes its use.
func (c *Cache) Has(ctx context.Context, b Build, name, key string) (bool, error) {
	own, _ := c.scopes(b)
	now := time.Now()
	id, err := c.rows.Find(ctx, own, name, key)
	if catalog.IsMissing(err) {
		id, err = c.rows.Arriving(ctx, own, name, key, now.Add(-uploadTime))
	}
	if catalog.IsMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, c.rows.Use(ctx, id, now, now.Add(-usedEvery))
}

// Admit stages an object for an entry of the build's own scope, and removes the least recently used entries to make room. A newer entry takes the
// place of an older one under its key. It is build.ErrTooLarge if there is no room.
func (c *Cache) Admit(ctx context.Context, b Build, name, key string, size int64) (store.Object, error) {
	if most := min(c.cfg.MaxEntry, c.cfg.MaxBytes); size > most {
		return store.Object{}, catalog.TooLarge(artifactv1.Kind_KIND_CACHE, most)
	}
	own, _ := c.scopes(b)
	o, err := c.catalog.Stage(ctx, store.Object{BuildID: "cache-" + own, Kind: int32(artifactv1.Kind_KIND_CACHE), Project: b.Project, Name: name})
	if err != nil {
		return o, err
	}
	err = c.rows.Add(ctx, store.CacheEntry{ObjectID: o.ID, Scope: own, Name: name, Key: key, Size: size, UsedAt: time.Now()})
	if err == nil {
		err = c.makeRoom(ctx, o.ID)
	}
	if err != nil {
		return o, errors.Join(err, c.remove(ctx, o.ID))
	}
	return o, nil
}

// maxEvictions bounds the entries that one request removes.
const maxEvictions = 50

// makeRoom removes entries until the rest fits. Requests that run at once count each other's entries, so that all of them may be refused, and the
// bound holds. but is not removed.
func (c *Cache) makeRoom(ctx context.Context, but string) error {
	bytes, err := c.rows.Bytes(ctx)
	if err != nil || bytes <= c.cfg.MaxBytes {
		return err
	}
	old, err := c.rows.LeastUsed(ctx, but, maxEvictions)
	if err != nil {
		return err
	}
	for _, e := range old {
		if bytes <= c.cfg.MaxBytes {
			break
		}
		if err := c.remove(ctx, e.ObjectID); err != nil {
			return err
		}
		c.catalog.Log.InfoContext(ctx, "cache entry removed", "object_id", e.ObjectID, "name", e.Name, "size", e.Size, "used_at", e.UsedAt)
		bytes -= e.Size
	}
	if bytes, err = c.rows.Bytes(ctx); err == nil && bytes > c.cfg.MaxBytes {
		err = httpx.Refuse(build.ErrTooLarge, "the shared cache has no room at the moment")
	}
	return err
}

// remove removes the object before the entry: a crash between leaves an entry without an object, which the sweep removes.
func (c *Cache) remove(ctx context.Context, id string) error {
	if err := c.catalog.Discard(ctx, id); err != nil {
		return err
	}
	return c.rows.Remove(ctx, id)
}

// Names reports whether an object with bytes is that of an entry.
func (c *Cache) Names(ctx context.Context, o store.Object) (bool, error) {
	err := c.rows.Has(ctx, o.ID)
	if catalog.IsMissing(err) {
		return false, nil
	}
	return err == nil && o.HasBytes(), err
}

// Sweep removes entries without objects, and those beyond the bound, all if there is no cache any more.
func (c *Cache) Sweep(ctx context.Context) error {
	if _, err := c.rows.RemoveOrphans(ctx); err != nil {
		return err
	}
	if err := c.makeRoom(ctx, ""); err != nil && !errors.Is(err, build.ErrTooLarge) { // the next sweep removes more
		return err
	}
	return nil
}
