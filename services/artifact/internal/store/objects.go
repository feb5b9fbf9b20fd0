package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Objects is the table of objects.
type Objects struct{ base }

// Stage inserts rows that wait for bytes, each until its ExpiresAt: all or none.
func (s *Objects) Stage(ctx context.Context, all ...Object) error {
	if len(all) == 0 {
		return nil
	}
	return s.tx(ctx, "stage object "+all[0].ID, func(tx *database.Tx) error {
		for _, o := range all {
			_, err := tx.ExecContext(ctx, `INSERT INTO objects
				(id, build_id, attempt, kind, project, name, prefix, state, created_ms, expires_ms)
				VALUES ($1, $2, $3, $4, $5, $6, $7, 'staged', $8, $9)`,
				o.ID, o.BuildID, o.Attempt, o.Kind, o.Project, o.Name, o.Prefix, millis(o.CreatedAt), millis(o.ExpiresAt))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// BeginUpload counts a long upload and moves the row's expiry; ErrNotStaged unless the row waits for bytes.
func (s *Objects) BeginUpload(ctx context.Context, id string, expires time.Time) error {
	n, err := s.change(ctx, "begin upload of "+id,
		`UPDATE objects SET uploads = uploads + 1, expires_ms = $1 WHERE id = $2 AND state = 'staged'`, millis(expires), id)
	return orElse(n, err, ErrNotStaged)
}

// ExtendUpload moves the expiry of a row whose bytes are still arriving.
func (s *Objects) ExtendUpload(ctx context.Context, id string, expires time.Time) error {
	_, err := s.change(ctx, "extend upload of "+id,
		`UPDATE objects SET expires_ms = $1 WHERE id = $2 AND state = 'staged' AND expires_ms < $1`, millis(expires), id)
	return err
}

// EndUpload ends an upload that failed and may be repeated: the row stays until it expires. counted is as with GiveUp.
func (s *Objects) EndUpload(ctx context.Context, id string, counted bool) error {
	if !counted {
		return nil
	}
	_, err := s.change(ctx, "end upload of "+id, `UPDATE objects SET uploads = uploads - 1 WHERE id = $1 AND state = 'staged'`, id)
	return err
}

// GiveUp ends an upload that failed. counted tells whether BeginUpload counted it. The row is deleted when no counted upload is
// left, unless it has bytes by then.
func (s *Objects) GiveUp(ctx context.Context, id string, counted bool) error {
	mine := 0
	if counted {
		mine = 1
	}
	return s.tx(ctx, "give up upload of "+id, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE objects SET uploads = uploads - $1 WHERE id = $2 AND state = 'staged'`, mine, id)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM objects WHERE id = $1 AND state = 'staged' AND uploads <= 0`, id)
		return err
	})
}

// Commit makes a staged row stored, with the bytes under key or, if key is empty, those of c. It returns ErrNotStaged if another
// upload was faster or the row is condemned or gone.
func (s *Objects) Commit(ctx context.Context, id, key string, c Content, now, expires time.Time) error {
	return s.tx(ctx, "commit object "+id, func(tx *database.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `UPDATE objects SET state = 'stored', s3_key = $1, size = $2, sha256 = $3,
			content_type = $4, wrapped_key = $5, stored_ms = $6, expires_ms = $7,
			upload_id = '', pieces = 'null', received = 0, hash_state = '' WHERE id = $8 AND state = 'staged'`,
			key, c.Size, c.SHA256, c.ContentType, base64.StdEncoding.EncodeToString(c.WrappedKey), millis(now), millis(expires), id))
		if err = orElse(n, err, ErrNotStaged); err != nil || key != "" {
			return err
		}
		return insertSmall(ctx, tx, id, c.Small)
	})
}

// Assign moves a row with bytes that is not kept to an attempt of a build. It returns false unless the row belongs to the build
// from and to no attempt.
func (s *Objects) Assign(ctx context.Context, id, from, buildID string, attempt int32) (bool, error) {
	n, err := s.change(ctx, "assign object "+id, `UPDATE objects SET build_id = $1, attempt = $2
		WHERE id = $3 AND state = 'stored' AND build_id = $4 AND attempt = 0`, buildID, attempt, id, from)
	return n == 1, err
}

// Keep makes rows with bytes permanent, all or none: ErrNotFound if one has no bytes. It locks the rows in the order of ids; two
// calls that lock in opposite order are a deadlock that the database reports and WithTx repeats.
func (s *Objects) Keep(ctx context.Context, ids []string) error {
	return s.tx(ctx, "keep objects", func(tx *database.Tx) error {
		for _, id := range ids {
			n, err := affected(tx.ExecContext(ctx,
				`UPDATE objects SET state = 'kept', expires_ms = 0 WHERE id = $1 AND state IN ('stored', 'kept')`, id))
			if err = orElse(n, err, ErrNotFound); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
		}
		return nil
	})
}

// Condemn marks a row for deletion. It returns false if the row is not as seen any more.
func (s *Objects) Condemn(ctx context.Context, seen Object) (bool, error) {
	n, err := s.change(ctx, "condemn object "+seen.ID,
		`UPDATE objects SET state = 'condemned' WHERE id = $1 AND state = $2 AND expires_ms = $3`,
		seen.ID, string(seen.State), millis(seen.ExpiresAt))
	return n == 1, err
}

// Remove deletes a condemned row, with its bytes if they are in the table.
func (s *Objects) Remove(ctx context.Context, id string) error {
	return s.tx(ctx, "remove object "+id, func(tx *database.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `DELETE FROM objects WHERE id = $1 AND state = 'condemned'`, id))
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM small_objects WHERE object_id = $1`, id)
		return err
	})
}

const columns = `SELECT id, build_id, attempt, kind, project, name, prefix, s3_key, state, size, sha256, content_type,
	wrapped_key, created_ms, stored_ms, expires_ms, upload_id, pieces, received, hash_state FROM objects `

// Get returns any row, or ErrNotFound.
func (s *Objects) Get(ctx context.Context, id string) (Object, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	o, err := scan(s.db.Read().QueryRowContext(ctx, columns+`WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Object{}, fmt.Errorf("get object %s: %w", id, err)
	}
	return o, nil
}

// OfBuild returns a build's rows that have bytes: kept ones first, then the newest first.
func (s *Objects) OfBuild(ctx context.Context, buildID string) ([]Object, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	rows, err := s.db.Read().QueryContext(ctx, columns+`WHERE build_id = $1 AND state IN ('stored', 'kept')
		ORDER BY state, stored_ms DESC, id`, buildID) // 'kept' sorts before 'stored'
	return collect(rows, err, "objects of build "+buildID)
}

// KeptSample returns the keys of up to n of the oldest and n of the newest kept objects whose bytes are in the object store.
func (s *Objects) KeptSample(ctx context.Context, n int) ([]string, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	const some = `SELECT * FROM (SELECT s3_key FROM objects WHERE state = 'kept' AND s3_key <> '' ORDER BY stored_ms %s, id LIMIT $1) AS %s`
	rows, err := s.db.Read().QueryContext(ctx, fmt.Sprintf(some, "", "oldest")+` UNION `+fmt.Sprintf(some, "DESC", "newest"), n)
	if err != nil {
		return nil, fmt.Errorf("list some objects: %w", err)
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("list some objects: %w", err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list some objects: %w", err)
	}
	return keys, nil
}

// Expired returns up to limit rows that are past their expiry or condemned, the oldest first.
func (s *Objects) Expired(ctx context.Context, now time.Time, limit int) ([]Object, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	rows, err := s.db.Read().QueryContext(ctx, columns+`WHERE state <> 'kept' AND (expires_ms < $1 OR state = 'condemned')
		ORDER BY expires_ms, id LIMIT $2`, millis(now), limit)
	return collect(rows, err, "expired objects")
}

func collect(rows *sql.Rows, err error, what string) ([]Object, error) {
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	defer rows.Close()
	var all []Object
	for rows.Next() {
		o, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", what, err)
		}
		all = append(all, o)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return all, nil
}

func scan(row interface{ Scan(...any) error }) (o Object, err error) {
	var state, wrapped, pieces, hash string
	var created, stored, expires int64
	err = row.Scan(&o.ID, &o.BuildID, &o.Attempt, &o.Kind, &o.Project, &o.Name, &o.Prefix, &o.Key, &state, &o.Size, &o.SHA256,
		&o.ContentType, &wrapped, &created, &stored, &expires, &o.Pieces.UploadID, &pieces, &o.Pieces.Received, &hash)
	if err != nil {
		return o, err
	}
	o.State, o.CreatedAt, o.StoredAt, o.ExpiresAt = State(state), fromMillis(created), fromMillis(stored), fromMillis(expires)
	var errs [3]error
	o.WrappedKey, errs[0] = unbase64(wrapped)
	o.Pieces.HashState, errs[1] = unbase64(hash)
	errs[2] = json.Unmarshal([]byte(pieces), &o.Pieces.Names)
	return o, errors.Join(errs[:]...)
}

// unbase64 returns nil for an empty text.
func unbase64(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// AllOfBuild returns every row of a build, whatever its state.
func (s *Objects) AllOfBuild(ctx context.Context, buildID string) ([]Object, error) {
	rows, err := s.db.Read().QueryContext(ctx, columns+`WHERE build_id = $1 ORDER BY id`, buildID)
	return collect(rows, err, "objects of build "+buildID)
}

// Measure counts the objects of builds that have bytes, and the bytes.
func (s *Objects) Measure(ctx context.Context, buildIDs []string) (objects, bytes int64, err error) {
	marks, args := make([]string, len(buildIDs)), make([]any, len(buildIDs))
	for i, id := range buildIDs {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM objects
		WHERE state IN ('stored', 'kept') AND build_id IN (`+strings.Join(marks, ", ")+`)`, args...).Scan(&objects, &bytes)
	if err != nil {
		return 0, 0, fmt.Errorf("measure builds: %w", err)
	}
	return objects, bytes, nil
}
