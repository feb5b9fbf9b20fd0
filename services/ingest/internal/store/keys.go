package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// bootstrap is the id of the configured key.
const bootstrap = "bootstrap"

// Bootstrap stores the configured admin key. The previous one stops working.
func (s *AccessStore) Bootstrap(ctx context.Context, key string) error {
	if err := s.PutKey(ctx, bootstrap, key, identity.Scopes{identity.ScopeAdmin}); err != nil {
		return fmt.Errorf("store the admin key: %w", err)
	}
	return nil
}

// PutKey stores a key under an id. It replaces the previous key of the id, and a previous id of the
// key.
func (s *AccessStore) PutKey(ctx context.Context, id, key string, scopes identity.Scopes) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	hash := identity.Hash(key)
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM api_keys WHERE hash = $1 AND id <> $2`, hash, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO api_keys (id, hash, scopes, created_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, scopes = excluded.scopes, created_at = excluded.created_at`,
			id, hash, scopes.String(), time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store API key %s: %w", id, err)
	}
	return nil
}

// Key returns the scopes of a key. It returns build.ErrUnauthorized if there is no such key. It
// searches by hash, so that the duration reveals nothing about the key.
func (s *AccessStore) Key(ctx context.Context, key string) (identity.Scopes, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	var words string
	err := s.db.Read().QueryRowContext(ctx, `SELECT scopes FROM api_keys WHERE hash = $1`, identity.Hash(key)).Scan(&words)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, build.ErrUnauthorized
	}
	if err != nil {
		return nil, fmt.Errorf("look up an API key: %w", err)
	}
	return identity.ParseScopes(words)
}
