package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// CacheEntry is an entry of the shared cache of builds.
type CacheEntry struct {
	ObjectID string
	// Scope, Name and Key are what builds look for.
	Scope, Name, Key string
	// Size is what the upload declared, in bytes.
	Size   int64
	UsedAt time.Time
}

// Cache is the table of the shared cache's entries.
type Cache struct{ base }

// NewCache returns the table in db. Call Store.Migrate first.
func NewCache(db *database.DB) *Cache { return &Cache{base{db}} }

// Add inserts an entry whose object is staged.
func (s *Cache) Add(ctx context.Context, e CacheEntry) error {
	_, err := s.change(ctx, "add cache entry", `INSERT INTO cache_entries (object_id, scope, name, cache_key, size, used_ms)
		VALUES ($1, $2, $3, $4, $5, $6)`, e.ObjectID, e.Scope, e.Name, e.Key, e.Size, millis(e.UsedAt))
	return err
}

// Find returns the object of the newest entry that has bytes, or ErrNotFound.
func (s *Cache) Find(ctx context.Context, scope, name, key string) (objectID string, err error) {
	return s.one(ctx, `SELECT e.object_id FROM cache_entries e JOIN objects o ON o.id = e.object_id
		WHERE e.scope = $1 AND e.name = $2 AND e.cache_key = $3 AND o.state IN ('stored', 'kept') ORDER BY o.stored_ms DESC, o.id LIMIT 1`, scope, name, key)
}

// Arriving returns the object of an entry that was staged after then and has no bytes yet, or ErrNotFound.
func (s *Cache) Arriving(ctx context.Context, scope, name, key string, then time.Time) (objectID string, err error) {
	return s.one(ctx, `SELECT e.object_id FROM cache_entries e JOIN objects o ON o.id = e.object_id
		WHERE e.scope = $1 AND e.name = $2 AND e.cache_key = $3 AND o.state = 'staged' AND o.created_ms > $4 LIMIT 1`, scope, name, key, millis(then))
}

// Has returns nil if an object is that of an entry, else ErrNotFound.
func (s *Cache) Has(ctx context.Context, objectID string) error {
	_, err := s.one(ctx, `SELECT object_id FROM cache_entries WHERE object_id = $1`, objectID)
	return err
}

func (s *Cache) one(ctx context.Context, q string, args ...any) (id string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.Read().QueryRowContext(ctx, q, args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("find cache entry: %w", err)
	}
	return id, nil
}

// Use notes that an entry was used, unless it was noted after then.
func (s *Cache) Use(ctx context.Context, objectID string, now, then time.Time) error {
	_, err := s.change(ctx, "use cache entry", `UPDATE cache_entries SET used_ms = $1 WHERE object_id = $2 AND used_ms < $3`, millis(now), objectID, millis(then))
	return err
}

// Bytes returns the declared sizes of all entries in sum: no less than what is stored.
func (s *Cache) Bytes(ctx context.Context) (n int64, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	if err := s.db.Read().QueryRowContext(ctx, `SELECT coalesce(sum(size), 0) FROM cache_entries`).Scan(&n); err != nil {
		return 0, fmt.Errorf("measure the cache: %w", err)
	}
	return n, nil
}

// LeastUsed returns entries but the one given, the least recently used first.
func (s *Cache) LeastUsed(ctx context.Context, but string, limit int) (all []CacheEntry, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	rows, err := s.db.Read().QueryContext(ctx, `SELECT object_id, scope, name, cache_key, size, used_ms FROM cache_entries
		WHERE object_id <> $1 ORDER BY used_ms, object_id LIMIT $2`, but, limit)
	if err != nil {
		return nil, fmt.Errorf("list cache entries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e CacheEntry
		var used int64
		if err := rows.Scan(&e.ObjectID, &e.Scope, &e.Name, &e.Key, &e.Size, &used); err != nil {
			return nil, fmt.Errorf("list cache entries: %w", err)
		}
		e.UsedAt = fromMillis(used)
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list cache entries: %w", err)
	}
	return all, nil
}

// Remove removes an entry. Its object is the caller's.
func (s *Cache) Remove(ctx context.Context, objectID string) error {
	_, err := s.change(ctx, "remove cache entry", `DELETE FROM cache_entries WHERE object_id = $1`, objectID)
	return err
}

// RemoveOrphans removes entries whose object is gone, and returns how many.
func (s *Cache) RemoveOrphans(ctx context.Context) (int64, error) {
	return s.change(ctx, "remove cache entries without objects",
		`DELETE FROM cache_entries WHERE NOT EXISTS (SELECT 1 FROM objects WHERE objects.id = cache_entries.object_id)`)
}
