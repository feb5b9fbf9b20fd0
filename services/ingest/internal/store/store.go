// Package store is the gateway's memory: hashes of API keys, and of the secrets of workers.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

//go:embed migrations
var migrations embed.FS

// Scope is what a key may do.
type Scope string

// The scopes.
const (
	Admin Scope = "admin"
)

// bootstrap is the name of the key that comes from the configuration.
const bootstrap = "bootstrap"

// Store reads and writes the gateway's tables. It is safe for concurrent use.
type Store struct {
	db *database.DB
}

// New migrates the gateway's schema in db and gives its store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sub); err != nil {
		return nil, fmt.Errorf("migrate the gateway's schema: %w", err)
	}
	return &Store{db: db}, nil
}

// Bootstrap makes key the configured admin key; the one before it stops working.
func (s *Store) Bootstrap(ctx context.Context, key string) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		hash := identity.Hash(key)
		if _, err := tx.ExecContext(ctx, `DELETE FROM api_keys WHERE name = $1 AND hash <> $2`, bootstrap, hash); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO api_keys (hash, name, scope, created_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (hash) DO NOTHING`, hash, bootstrap, Admin, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store the admin key: %w", err)
	}
	return nil
}

// Key finds what a key may do; build.ErrUnauthorized if there is none such. The search is by hash, so that its time tells
// nothing of the key.
func (s *Store) Key(ctx context.Context, key string) (Scope, error) {
	var scope Scope
	err := s.db.Read().QueryRowContext(ctx, `SELECT scope FROM api_keys WHERE hash = $1`, identity.Hash(key)).Scan(&scope)
	if errors.Is(err, sql.ErrNoRows) {
		return "", build.ErrUnauthorized
	}
	if err != nil {
		return "", fmt.Errorf("look up an API key: %w", err)
	}
	return scope, nil
}

// PutWorker stores a worker's credentials and what it may build.
func (s *Store) PutWorker(ctx context.Context, w identity.Worker) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO workers (id, secret_hash, pool, platforms, joined_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, pool = excluded.pool, platforms = excluded.platforms`,
			w.ID, w.SecretHash, w.Pool, strings.Join(w.Platforms, ","), time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store worker %s: %w", w.ID, err)
	}
	return nil
}

// Worker finds a worker's credentials; build.ErrWorkerUnknown if there is none such.
func (s *Store) Worker(ctx context.Context, id string) (identity.Worker, error) {
	w := identity.Worker{ID: id}
	var platforms string
	var revoked int64
	err := s.db.Read().QueryRowContext(ctx, `SELECT secret_hash, pool, platforms, revoked FROM workers WHERE id = $1`, id).
		Scan(&w.SecretHash, &w.Pool, &platforms, &revoked)
	if errors.Is(err, sql.ErrNoRows) {
		return w, build.ErrWorkerUnknown
	}
	if err != nil {
		return w, fmt.Errorf("look up a worker: %w", err)
	}
	w.Revoked = revoked != 0
	if platforms != "" {
		w.Platforms = strings.Split(platforms, ",")
	}
	return w, nil
}
