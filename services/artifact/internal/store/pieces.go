package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// BeginPieces records an upload in pieces and counts it like BeginUpload. It returns ErrMoved if there is one already, and
// ErrNotStaged unless the row waits for bytes.
func (s *Objects) BeginPieces(ctx context.Context, id, key, uploadID string, expires time.Time) error {
	n, err := s.change(ctx, "begin pieces of "+id, `UPDATE objects SET uploads = uploads + 1, s3_key = $1, upload_id = $2,
		expires_ms = $3 WHERE id = $4 AND state = 'staged' AND upload_id = ''`, key, uploadID, millis(expires), id)
	if err != nil || n == 1 {
		return err
	}
	return s.movedOrGone(ctx, id)
}

// Advance records what has arrived of an upload in pieces; ErrMoved unless the upload is at was bytes.
func (s *Objects) Advance(ctx context.Context, id string, p Pieces, was int64, expires time.Time) error {
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

// movedOrGone returns why a change of an upload in pieces found no row.
func (s *Objects) movedOrGone(ctx context.Context, id string) error {
	o, err := s.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case o.State == Staged:
		return ErrMoved
	}
	return ErrNotStaged
}
