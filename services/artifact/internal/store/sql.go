package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

//go:embed migrations
var migrations embed.FS

// SQL is the Store on SQLite and PostgreSQL.
type SQL struct{ db *database.DB }

var _ Store = (*SQL)(nil)

// New returns the store of db, which must be migrated before anything else is asked.
func New(db *database.DB) *SQL { return &SQL{db: db} }

// Migrate implements Store.
func (s *SQL) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	if err := s.db.Migrate(ctx, files); err != nil {
		return fmt.Errorf("objects table: %w", err)
	}
	return nil
}

// Stage implements Store.
func (s *SQL) Stage(ctx context.Context, all ...Object) error {
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

// BeginUpload implements Store.
func (s *SQL) BeginUpload(ctx context.Context, id string, expires time.Time) error {
	n, err := s.change(ctx, "begin upload of "+id,
		`UPDATE objects SET uploads = uploads + 1, expires_ms = $1 WHERE id = $2 AND state = 'staged'`, millis(expires), id)
	return orElse(n, err, ErrNotStaged)
}

// ExtendUpload implements Store.
func (s *SQL) ExtendUpload(ctx context.Context, id string, expires time.Time) error {
	_, err := s.change(ctx, "extend upload of "+id,
		`UPDATE objects SET expires_ms = $1 WHERE id = $2 AND state = 'staged' AND expires_ms < $1`, millis(expires), id)
	return err
}

// EndUpload implements Store.
func (s *SQL) EndUpload(ctx context.Context, id string, counted bool) error {
	if !counted {
		return nil
	}
	_, err := s.change(ctx, "end upload of "+id, `UPDATE objects SET uploads = uploads - 1 WHERE id = $1 AND state = 'staged'`, id)
	return err
}

// GiveUp implements Store.
func (s *SQL) GiveUp(ctx context.Context, id string, counted bool) error {
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

// Commit implements Store.
func (s *SQL) Commit(ctx context.Context, id, key string, c Content, now, expires time.Time) error {
	return s.tx(ctx, "commit object "+id, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE objects SET state = 'stored', s3_key = $1, size = $2, sha256 = $3,
			content_type = $4, wrapped_key = $5, stored_ms = $6, expires_ms = $7,
			upload_id = '', pieces = 'null', received = 0, hash_state = '' WHERE id = $8 AND state = 'staged'`,
			key, c.Size, c.SHA256, c.ContentType, base64.StdEncoding.EncodeToString(c.WrappedKey), millis(now), millis(expires), id)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err = orElse(n, err, ErrNotStaged); err != nil || key != "" {
			return err
		}
		return insertSmall(ctx, tx, id, c.Small)
	})
}

// Assign implements Store.
func (s *SQL) Assign(ctx context.Context, id, from, buildID string, attempt int32) (bool, error) {
	n, err := s.change(ctx, "assign object "+id, `UPDATE objects SET build_id = $1, attempt = $2
		WHERE id = $3 AND state = 'stored' AND build_id = $4 AND attempt = 0`, buildID, attempt, id, from)
	return n == 1, err
}

// Keep implements Store. The ids are taken one by one in the order given; two calls that lock in opposite order are a
// deadlock that the database reports and WithTx repeats.
func (s *SQL) Keep(ctx context.Context, ids []string) error {
	return s.tx(ctx, "keep objects", func(tx *database.Tx) error {
		for _, id := range ids {
			res, err := tx.ExecContext(ctx,
				`UPDATE objects SET state = 'kept', expires_ms = 0 WHERE id = $1 AND state IN ('stored', 'kept')`, id)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err = orElse(n, err, ErrNotFound); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
		}
		return nil
	})
}

// Condemn implements Store.
func (s *SQL) Condemn(ctx context.Context, seen Object) (bool, error) {
	n, err := s.change(ctx, "condemn object "+seen.ID,
		`UPDATE objects SET state = 'condemned' WHERE id = $1 AND state = $2 AND expires_ms = $3`,
		seen.ID, string(seen.State), millis(seen.ExpiresAt))
	return n == 1, err
}

// Remove implements Store.
func (s *SQL) Remove(ctx context.Context, id string) error {
	return s.tx(ctx, "remove object "+id, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM objects WHERE id = $1 AND state = 'condemned'`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM small_objects WHERE object_id = $1`, id)
		return err
	})
}

// change runs one statement and says how many rows it changed.
func (s *SQL) change(ctx context.Context, doing, q string, args ...any) (n int64, err error) {
	err = s.tx(ctx, doing, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, q, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

func (s *SQL) tx(ctx context.Context, doing string, f func(*database.Tx) error) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	if err := s.db.WithTx(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func orElse(changed int64, err, nothing error) error {
	if err == nil && changed == 0 {
		return nothing
	}
	return err
}

const columns = `SELECT id, build_id, attempt, kind, project, name, prefix, s3_key, state, size, sha256, content_type,
	wrapped_key, created_ms, stored_ms, expires_ms, upload_id, pieces, received, hash_state FROM objects `

// Get implements Store.
func (s *SQL) Get(ctx context.Context, id string) (Object, error) {
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

// OfBuild implements Store.
func (s *SQL) OfBuild(ctx context.Context, buildID string) ([]Object, error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	rows, err := s.db.Read().QueryContext(ctx, columns+`WHERE build_id = $1 AND state IN ('stored', 'kept')
		ORDER BY state, stored_ms DESC, id`, buildID) // 'kept' sorts before 'stored'
	return collect(rows, err, "objects of build "+buildID)
}

// KeptSample implements Store.
func (s *SQL) KeptSample(ctx context.Context, n int) ([]string, error) {
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

// Expired implements Store.
func (s *SQL) Expired(ctx context.Context, now time.Time, limit int) ([]Object, error) {
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

// unbase64 gives nil for nothing.
func unbase64(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
