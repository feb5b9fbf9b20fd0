package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// BeginPieces implements Store.
func (s *SQL) BeginPieces(ctx context.Context, id, key, uploadID string, expires time.Time) error {
	n, err := s.change(ctx, "begin pieces of "+id, `UPDATE objects SET uploads = uploads + 1, s3_key = $1, upload_id = $2,
		expires_ms = $3 WHERE id = $4 AND state = 'staged' AND upload_id = ''`, key, uploadID, millis(expires), id)
	if err != nil || n == 1 {
		return err
	}
	return s.movedOrGone(ctx, id)
}

// Advance implements Store.
func (s *SQL) Advance(ctx context.Context, id string, p Pieces, was int64, expires time.Time) error {
	names, err := json.Marshal(p.Names)
	if err != nil {
		return fmt.Errorf("names of pieces: %w", err)
	}
	n, err := s.change(ctx, "advance upload of "+id, `UPDATE objects SET pieces = $1, received = $2, hash_state = $3, expires_ms = $4
		WHERE id = $5 AND state = 'staged' AND upload_id = $6 AND received = $7`,
		string(names), p.Received, base64.StdEncoding.EncodeToString(p.HashState), millis(expires), id, p.UploadID, was)
	if err != nil || n == 1 {
		return err
	}
	return s.movedOrGone(ctx, id)
}

// movedOrGone says why a change of an upload in pieces found no row.
func (s *SQL) movedOrGone(ctx context.Context, id string) error {
	o, err := s.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case o.State == Staged:
		return ErrMoved
	}
	return ErrNotStaged
}
