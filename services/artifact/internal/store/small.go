package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Put inserts a row with its bytes (Small) in one step. It returns false, and changes nothing, if the id exists.
func (s *Objects) Put(ctx context.Context, o Object) (bool, error) {
	put := false
	err := s.tx(ctx, "put object "+o.ID, func(tx *database.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `INSERT INTO objects
			(id, build_id, attempt, kind, project, name, prefix, state, size, sha256, content_type, created_ms, stored_ms, expires_ms)
			VALUES ($1, $2, $3, $4, $5, $6, '', 'stored', $7, $8, $9, $10, $10, $11) ON CONFLICT (id) DO NOTHING`,
			o.ID, o.BuildID, o.Attempt, o.Kind, o.Project, o.Name, o.Size, o.SHA256, o.ContentType, millis(o.CreatedAt), millis(o.ExpiresAt)))
		if put = n == 1; err != nil || !put {
			return err
		}
		return insertSmall(ctx, tx, o.ID, o.Small)
	})
	return put, err
}

func insertSmall(ctx context.Context, tx *database.Tx, id string, data []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO small_objects (object_id, bytes) VALUES ($1, $2)`,
		id, append([]byte{}, data...)) // never NULL
	return err
}

// Bytes reads the bytes of a row that has no key; ErrNotFound if there are none.
func (s *Objects) Bytes(ctx context.Context, id string) (data []byte, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT bytes FROM small_objects WHERE object_id = $1`, id).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", id, err)
	}
	return data, nil
}
