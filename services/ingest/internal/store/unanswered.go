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

// Submit identifies the content of a submit. A repeat is equal in all fields.
type Submit struct {
	KeyID string
	// SourceSHA256 and CertsSHA256 are those of the stored objects; CertsSHA256 is empty without
	// certs.
	SourceSHA256, CertsSHA256 string
	Platform                  string
}

// KeyID returns the id of an API key. It returns build.ErrUnauthorized if there is no such key.
func (s *SubmitStore) KeyID(ctx context.Context, key string) (id string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.Read().QueryRowContext(ctx, `SELECT id FROM api_keys WHERE hash = $1`, identity.Hash(key)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", build.ErrUnauthorized
	}
	if err != nil {
		return "", fmt.Errorf("look up an API key: %w", err)
	}
	return id, nil
}

// PutUnanswered records that the submitter of a build got no response.
func (s *SubmitStore) PutUnanswered(ctx context.Context, buildID string, sub Submit, since time.Time) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO unanswered_submits (build_id, key_id, source_sha256, certs_sha256, platform, since)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (build_id) DO UPDATE SET since = excluded.since, overdue = 0`,
			buildID, sub.KeyID, sub.SourceSHA256, sub.CertsSHA256, sub.Platform, since.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("remember the unanswered submit of build %s: %w", buildID, err)
	}
	return nil
}

// TakeUnanswered takes an equal submit that is unanswered since `after` or later, and makes holder
// its holder. It returns its build, "" if there is none. Each submit goes to one caller only.
func (s *SubmitStore) TakeUnanswered(ctx context.Context, sub Submit, holder string, after time.Time) (buildID string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	const equal = ` FROM unanswered_submits WHERE source_sha256 = $1 AND key_id = $2 AND certs_sha256 = $3 AND platform = $4
		AND since >= $5 AND overdue = 0`
	args := []any{sub.SourceSHA256, sub.KeyID, sub.CertsSHA256, sub.Platform, after.UnixMilli()}
	// There is hardly ever one, and a read is enough to find that out.
	err = s.db.Read().QueryRowContext(ctx, `SELECT build_id`+equal+` LIMIT 1`, args...).Scan(&buildID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err == nil {
		err = s.db.WithTx(ctx, func(tx *database.Tx) error {
			buildID = ""
			err := tx.QueryRowContext(ctx, `SELECT build_id`+equal+` ORDER BY since LIMIT 1`+tx.SkipLocked(), args...).Scan(&buildID)
			if errors.Is(err, sql.ErrNoRows) { // another was faster
				return nil
			}
			if err == nil {
				_, err = tx.ExecContext(ctx, `INSERT INTO submits_in_flight
					(build_id, key_id, source_sha256, certs_sha256, platform, since, holder)
					SELECT build_id, key_id, source_sha256, certs_sha256, platform, $1, $2 FROM unanswered_submits WHERE build_id = $3
					ON CONFLICT (build_id) DO UPDATE SET since = excluded.since, holder = excluded.holder`,
					time.Now().UnixMilli(), holder, buildID)
			}
			if err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM unanswered_submits WHERE build_id = $1`, buildID)
			}
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("look for an unanswered submit: %w", err)
	}
	return buildID, nil
}

// TakeOverdue returns at most limit builds that have been unanswered since before `before`. Repeats
// no longer get them. It returns them again until ForgetUnanswered.
func (s *SubmitStore) TakeOverdue(ctx context.Context, before time.Time, limit int) (buildIDs []string, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	found, err := s.overdue(ctx, before, limit)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		buildIDs = buildIDs[:0]
		for _, id := range found {
			res, err := tx.ExecContext(ctx, `UPDATE unanswered_submits SET overdue = 1 WHERE build_id = $1 AND since < $2`, id, before.UnixMilli())
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n > 0 { // else it was taken, or left unanswered again, meanwhile
				buildIDs = append(buildIDs, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mark unanswered submits: %w", err)
	}
	return buildIDs, nil
}

func (s *SubmitStore) overdue(ctx context.Context, before time.Time, limit int) (ids []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx,
		`SELECT build_id FROM unanswered_submits WHERE since < $1 ORDER BY since LIMIT $2`, before.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("list unanswered submits: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list unanswered submits: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// ForgetUnanswered deletes the record of an unanswered submit, if it exists.
func (s *SubmitStore) ForgetUnanswered(ctx context.Context, buildID string) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM unanswered_submits WHERE build_id = $1`, buildID)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the unanswered submit of build %s: %w", buildID, err)
	}
	return nil
}
