package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// PutWorker stores a worker's credentials and what it may build. A revoked worker stays revoked.
func (s *AccessStore) PutWorker(ctx context.Context, w identity.Worker) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO worker_credentials (worker_id, secret_hash, pool, platforms, joined_at)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (worker_id) DO UPDATE
			SET secret_hash = excluded.secret_hash, pool = excluded.pool, platforms = excluded.platforms`,
			w.ID, w.SecretHash, w.Pool, strings.Join(w.Platforms, ","), time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store worker %s: %w", w.ID, err)
	}
	return nil
}

// Worker returns a worker's credentials. It returns build.ErrWorkerUnknown if there are none.
func (s *AccessStore) Worker(ctx context.Context, id string) (identity.Worker, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	w := identity.Worker{ID: id}
	var platforms string
	var revoked int64
	err := s.db.Read().QueryRowContext(ctx,
		`SELECT secret_hash, pool, platforms, revoked FROM worker_credentials WHERE worker_id = $1`, id).
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

// Revoke revokes a worker's credentials: its next connection to the bus and its next join fail.
func (s *AccessStore) Revoke(ctx context.Context, id string) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE worker_credentials SET revoked = 1 WHERE worker_id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke worker %s: %w", id, err)
	}
	return nil
}
